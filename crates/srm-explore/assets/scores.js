// Scores of runs on the way: a chart for each feature net, and a table.

import { chart, colour } from './chart.js';
import { SHOWN_ROWS, table } from './tables.js';
import { el, short } from './widgets.js';

/** The scores by one net over one axis of updates, a line a run, as uPlot takes them. */
export function scoreColumns(runs, name) {
    const tables = runs.map(({ known }) => {
        const points = new Map(); // of an update that was scored twice, after a rollback, the last holds
        for (const score of known.scores) if (score.name === name) points.set(score.update, score.score);
        const updates = [...points.keys()].sort((a, b) => a - b);
        return [updates, updates.map((update) => points.get(update))];
    });
    return tables.length === 1 ? tables[0] : uPlot.join(tables);
}

/** The section of the scores; `tell(runs)` brings it up to date. */
export function scores() {
    const node = el('section', { class: 'card' });
    const rows = el('div', {});
    let told = '';
    let charts = [];

    const destroy = () => {
        for (const { figure } of charts) figure.destroy();
        charts = [];
    };

    /** The charts, for runs and nets that were not there before. */
    function build(runs, names) {
        destroy();
        charts = names.map((name) => ({
            name,
            figure: chart({
                title: `Score by ${name}`,
                series: runs.map(({ source, index }) => ({
                    label: runs.length > 1 ? source.name : 'score',
                    stroke: colour(index),
                    points: { show: true, size: 5 },
                })),
                data: [[], ...runs.map(() => [])],
                height: 140,
                sync: 'run',
                xLabel: 'update',
            }),
        }));
        node.replaceChildren(el('h2', {}, 'Scores'), ...charts.map(({ figure }) => figure.node), rows);
    }

    return {
        node,
        destroy,
        tell(runs) {
            const all = runs.flatMap(({ source, known }) =>
                known.scores.map((score) => ({ ...score, run: source.name })),
            );
            const names = [...new Set(all.map(({ name }) => name))].filter(Boolean);
            const which = JSON.stringify([runs.map(({ source }) => source.name), names]);
            const count = `${which}${all.length}`;
            if (count === told) return;
            if (!told.startsWith(which)) build(runs, names);
            told = count;
            for (const { name, figure } of charts) figure.set(scoreColumns(runs, name));
            const lines = all
                .toReversed()
                .slice(0, SHOWN_ROWS)
                .map(({ run, update, name, score, count: samples, best }) => [
                    run,
                    String(update),
                    name ?? '',
                    `${score === null ? 'blew up' : short(score)}${best ? ' · best' : ''}`,
                    String(samples ?? ''),
                ]);
            const none = el('p', { class: 'quiet' }, 'None: set evaluate.every to have scores on the way.');
            rows.replaceChildren(
                lines.length ? table(['run', 'update', 'of', 'score', 'samples'], lines) : none,
            );
        },
    };
}
