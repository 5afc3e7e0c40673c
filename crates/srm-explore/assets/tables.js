// Events and settings of runs as tables and lists that fold.

import { el } from './widgets.js';

/** Rows of a table at most. */
export const SHOWN_ROWS = 200;

export function table(heads, rows) {
    const head = el('tr', {}, ...heads.map((words) => el('th', { scope: 'col' }, words)));
    const body = rows.map((row) => el('tr', {}, ...row.map((cell) => el('td', {}, cell))));
    return el(
        'div',
        { class: 'scroll', tabindex: 0 },
        el('table', {}, el('thead', {}, head), el('tbody', {}, ...body)),
    );
}

/** What an event says beside its name, update and time. */
function details(event) {
    return Object.entries(event)
        .filter(([key]) => !['event', 'update', 'time', 'environment'].includes(key))
        .map(
            ([key, value]) =>
                `${key.replaceAll('_', ' ')}: ${typeof value === 'object' ? JSON.stringify(value) : value}`,
        )
        .join('; ');
}

export function tellLog(node, events) {
    if (node.dataset.told === String(events.length)) return;
    node.dataset.told = String(events.length);
    const time = (seconds) => (seconds ? new Date(seconds * 1000).toLocaleString() : '');
    const rows = events
        .toReversed()
        .slice(0, SHOWN_ROWS)
        .map((event) => [time(event.time), String(event.update ?? ''), event.event, details(event)]);
    const none = el('p', { class: 'quiet' }, 'Nothing yet.');
    node.replaceChildren(
        el('h2', {}, 'Events'),
        rows.length ? table(['when', 'update', 'what', 'details'], rows) : none,
    );
}

/** JSON as lists that fold. */
export function tree(name, value, open) {
    if (value === null || typeof value !== 'object') {
        return el(
            'div',
            { class: 'leaf' },
            el('span', { class: 'key' }, name),
            ` ${value === null ? 'null' : value}`,
        );
    }
    const flat = JSON.stringify(value);
    if (Array.isArray(value) && flat.length < 70) {
        return el('div', { class: 'leaf' }, el('span', { class: 'key' }, name), ` ${flat.replaceAll(',', ', ')}`);
    }
    const parts = Object.entries(value).map(([key, part]) => tree(key, part, key !== 'about'));
    return el('details', { open }, el('summary', {}, name), ...parts);
}
