// The frame of the page: sources, tabs, messages; each view is a module with `mount(root, page)`.

import { Failure, RETRY_MS, getSources, pause } from './api.js';
import { State } from './state.js';
import { el, select } from './widgets.js';
import * as picture from './picture.js';
import * as plane from './plane.js';
import * as run from './run.js';
import * as samples from './samples.js';
import * as training from './training.js';

const VIEWS = new Map([
    ['run', { title: 'Run', ...run }],
    ['training', { title: 'Chain × training', ...training }],
    ['plane', { title: 'Latent plane', ...plane, checkpoint: true }],
    ['picture', { title: 'Your picture', ...picture, checkpoint: true }],
    ['samples', { title: 'Samples', ...samples, checkpoint: true }],
]);
const LOOK_MS = 10_000; // how often to look for new checkpoints

const at = (id) => document.getElementById(id);
const state = new State([...VIEWS.keys()]);
const bare = location.hash === '';
let sources = [];
let mounted = null;
let filled = ''; // what the fields offer: an open list is not filled again without need
let lost = false;
let drawn = null; // the checkpoint that the view draws from

function say(words) {
    at('status').textContent = words;
}

/** Show what went wrong, in its own words; null takes it away. */
function fail(error) {
    at('error').textContent = error ? String(error.message ?? error) : '';
    if (error && !(error instanceof Failure)) console.error(error);
}

let wake = new AbortController();
/** What went wrong in a view; where nobody answered, look at once whether srm explore is still there. */
function failed(error) {
    fail(error);
    if (error?.status === 0) wake.abort();
}

/** The source of the URL: by name, since numbers change with the command line. */
const chosen = () => sources.find(({ name }) => name === state.text('source')) ?? sources[0];

/**
 * The checkpoint that a view draws from, by number even where it is the newest: all that a view shows is then of one
 * net, and its commands stay true, though training goes on beside it. Null: a weights file, which has but one.
 */
function update(source) {
    const wanted = state.integer('update', -1);
    return source.updates.includes(wanted) ? wanted : source.newest;
}

const sourceField = select({
    label: 'Source',
    options: [],
    value: '',
    change(name) {
        state.set({ source: name, update: null });
        show();
    },
});
const updateField = select({
    label: 'Update',
    options: [],
    value: '',
    change(value) {
        state.set({ update: value || null });
        show();
    },
});
at('choose').append(sourceField.node, updateField.node);

const tabs = [...VIEWS].map(([name, { title }]) =>
    el(
        'button',
        { type: 'button', role: 'tab', id: `tab-${name}`, 'aria-controls': 'view', onclick: () => go(name) },
        title,
    ),
);
at('tabs').append(...tabs);
at('tabs').addEventListener('keydown', (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(tabs.indexOf(event.target) + step + tabs.length) % tabs.length];
    next.focus();
    next.click();
});
at('skip').addEventListener('click', (event) => {
    event.preventDefault();
    at('view').focus();
});

/** Go to a view, with values that it is to show. */
function go(view, more = {}) {
    leave();
    state.go(view, ['source', 'update'], more);
    show();
}

function leave() {
    mounted?.leave?.();
    mounted = null;
}

/** `number`: the checkpoint that the view draws from. */
function fillFields(source, number) {
    const offer = JSON.stringify([state.view, number, source, sources.map(({ name }) => name)]);
    if (offer === filled) return;
    filled = offer;
    sourceField.fill(
        sources.map(({ name }) => [name, name]),
        source.name,
    );
    const older = source.updates.filter((at) => at !== source.newest).reverse();
    const offered = [['', `newest (${source.newest})`], ...older.map((at) => [String(at), String(at)])];
    const gone = number !== source.newest && !older.includes(number);
    if (gone) offered.push([String(number), `${number}, no longer there`]);
    updateField.fill(offered, number === source.newest ? '' : String(number));
    updateField.node.hidden = !VIEWS.get(state.view).checkpoint || source.newest === null || !source.updates.length;
}

/** Draw the view of the URL anew. */
function show() {
    leave();
    const source = chosen();
    // a weights file has no log: the first look is at what it draws
    if (bare && location.hash === '' && source.kind !== 'run' && state.view === 'run') state.go('training', []);
    const root = at('view');
    for (const tab of tabs) {
        const on = tab.id === `tab-${state.view}`;
        tab.setAttribute('aria-selected', on);
        tab.tabIndex = on ? 0 : -1;
    }
    root.setAttribute('aria-labelledby', `tab-${state.view}`);
    fail(null);
    say('');
    const number = update(source);
    if (state.text('update') && state.text('update') !== String(number ?? '')) {
        say(`There is no checkpoint of update ${state.text('update')} any more: this is update ${number}.`);
        state.set({ update: null });
    }
    fillFields(source, number);
    document.title = `${VIEWS.get(state.view).title} · ${source.name} · srm explore`;
    root.replaceChildren();
    root.className = `view ${state.view}`;
    mounted = VIEWS.get(state.view).mount(root, { source, sources, state, update: number, say, fail: failed, go });
    drawn = number;
}

/** Whether a source can draw now and could not before, or is another: then its view begins anew. */
const changed = (old, now) =>
    !old ||
    old.name !== now.name ||
    old.size !== now.size ||
    (old.newest === null) !== (now.newest === null) ||
    old.steps !== now.steps;

/** Look for new checkpoints as long as the page is open. */
async function watch() {
    for (;;) {
        let wait = LOOK_MS;
        if (!document.hidden) {
            try {
                const told = await getSources();
                const old = chosen();
                sources = told.sources;
                at('machine').textContent = `srm ${told.version} · ${told.device}, ${told.threads} threads`;
                const now = chosen();
                if (!now) say('There is nothing to show.');
                else if (lost || changed(old, now)) show();
                else {
                    if (old.newest !== now.newest)
                        say(`${now.name}: there is a checkpoint of update ${now.newest} now.`);
                    fillFields(now, drawn);
                    mounted?.renew?.(now);
                }
                lost = false;
            } catch (error) {
                fail(error);
                lost = true;
                if (error.status === 0) wait = RETRY_MS;
            }
        }
        wake = new AbortController();
        await pause(wait, wake.signal);
    }
}
addEventListener('hashchange', () => {
    state.read();
    if (sources.length) show();
});
addEventListener('unhandledrejection', (event) => fail(event.reason));
watch();
