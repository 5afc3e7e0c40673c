// Run: the curves of one or several runs, live; scores, settings, log of events.

import { RETRY_MS, follow, getRun, pause } from './api.js';
import { chart, colour } from './chart.js';
import { scores } from './scores.js';
import { over, series } from './series.js';
import { tellLog, tree } from './tables.js';
import { button, check, el, select } from './widgets.js';

// names of columns with what the legend calls them
const CHARTS = [
    { title: 'Gap: mean f of data − mean f of samples', lines: { gap: 'gap' } },
    { title: 'Mean f of data (full) and of samples (dashed)', lines: { f_data: 'data', f_sample: 'samples' } },
    { title: 'r: gradient along the chain', lines: { chain_grad_norm: 'r' } },
    { title: 'Standard deviation of the samples’ pixels', lines: { sample_std: 'deviation' } },
    { title: 'Learning rate', lines: { lr: 'rate' }, log: true },
    { title: 'Noise σ on the data', lines: { data_noise: 'σ' } },
];
const MOST_LIVE = 3; // browsers hold six connections to a server; some must stay free

/** Thrown to end a connection whose run must be read from its start again. */
const ANEW = new Error('begun anew');

/** One run that is shown: what is known of it, and its connection while it is live. */
class Shown {
    control = new AbortController();
    known = null;
    state = '';

    constructor(source, index) {
        this.source = source;
        this.index = index;
    }
}

export function mount(root, page) {
    const runs = page.sources.filter(({ kind }) => kind === 'run');
    if (page.source.kind !== 'run') {
        root.append(
            el(
                'p',
                { class: 'empty' },
                `${page.source.name} is a weights file: it has no log. The other views draw from it.`,
            ),
        );
        return {};
    }
    const { state } = page;
    const also = new Set(
        state
            .text('also')
            .split(',')
            .filter((name) => runs.some((run) => run.name === name)),
    );
    const shown = new Map();
    let grid = state.integer('grid', 0) || null;
    let charts = [];
    let built = ''; // for which runs the charts are
    let frame = 0;
    let zoomed = zoomOf(state);
    let zooming = false;

    const legend = el('fieldset', { class: 'runs' }, el('legend', {}, 'Runs'));
    const gridField = select({
        label: 'Grid',
        options: [['', 'whole chain']],
        value: '',
        change(value) {
            grid = Number(value) || null;
            state.set({ grid });
            build();
        },
    });
    const reset = button('Whole run', () => zoom(null), { title: 'Also: double-click in a chart' });
    const plots = el('div', { class: 'charts' });
    const scored = scores();
    const settings = el('section', { class: 'card' });
    const log = el('section', { class: 'card' });
    root.append(
        el('div', { class: 'controls' }, legend, gridField.node, reset),
        plots,
        el(
            'p',
            { class: 'quiet' },
            'Drag in a chart to zoom. Dotted lines: checkpoints; red dashed lines: rollbacks.',
        ),
        el('div', { class: 'cards' }, scored.node, log, settings),
    );

    const wanted = () => runs.filter(({ name }) => name === page.source.name || also.has(name));
    const kinds = () =>
        ready()
            .map(({ index }) => index)
            .join();
    const ready = () => [...shown.values()].filter(({ known }) => known?.length);

    /** Open and end connections so that what is wanted is there. */
    function arrange() {
        for (const [name, run] of shown) {
            if (!wanted().some((source) => source.name === name)) {
                run.control.abort();
                shown.delete(name);
            }
        }
        for (const source of wanted()) {
            if (shown.has(source.name)) continue;
            const run = new Shown(source, runs.indexOf(source));
            shown.set(source.name, run);
            keepUp(run);
        }
        build();
    }

    /** Read a run, then follow it; where the connection breaks or the run is begun anew, from the start again. */
    async function keepUp(run) {
        const { signal } = run.control;
        const { id } = run.source;
        let failed = false;
        while (!signal.aborted) {
            try {
                const told = await getRun(id, signal);
                if (failed) page.fail(null);
                failed = false;
                run.known = series(told);
                run.state = told.state;
                run.config = told.config;
                build();
                const place = [...shown.values()].indexOf(run);
                if (place >= MOST_LIVE) return;
                await follow(
                    id,
                    { lines: run.known.lines, events: run.known.events.length, scores: run.known.scores.length },
                    (kind, data) => hear(run, kind, data),
                    signal,
                );
            } catch (error) {
                if (signal.aborted) return;
                if (error !== ANEW) {
                    failed = true;
                    page.fail(error);
                    if (error.status === 401) return;
                }
            }
            await pause(failed ? RETRY_MS : 300, signal);
        }
    }

    function hear(run, kind, data) {
        if (kind === 'line') run.known.add(data);
        else if (kind === 'event') run.known.events.push(data);
        else if (kind === 'score') run.known.scores.push(data);
        else if (kind === 'updates') run.source.updates = data;
        else if (kind === 'state') {
            run.state = data.state;
            page.say(`${run.source.name}: ${data.message ?? data.state}`);
            tellRuns();
        } else if (kind === 'reset') {
            page.say(`${run.source.name} was begun anew, or has lost lines: it is read again.`);
            throw ANEW;
        }
        if (kind === 'line' && run.known.grids.length !== gridCount) build();
        else soon();
    }
    let gridCount = 0;

    /** Draw in the next frame, all that has come until then at once. */
    function soon() {
        cancelAnimationFrame(frame);
        frame = requestAnimationFrame(() => {
            fill(true);
            tell();
        });
    }

    /** The charts themselves, where the set of runs, grids or curves is another. */
    function build() {
        cancelAnimationFrame(frame);
        for (const { figure } of charts) figure.destroy();
        charts = [];
        plots.replaceChildren();
        const all = ready();
        built = kinds();
        const own = shown.get(page.source.name)?.known;
        gridCount = own?.grids.length ?? 0;
        gridField.node.hidden = gridCount < 2;
        if (!own?.grids.includes(grid)) grid = null;
        gridField.fill(
            [['', 'whole chain'], ...(own?.grids ?? []).map((size) => [String(size), `${size} px`])],
            String(grid ?? ''),
        );
        if (!all.length) {
            const words = shown.get(page.source.name)?.known ? 'No update is logged yet.' : 'Reading the log …';
            plots.append(el('p', { class: 'empty' }, words));
        } else {
            for (const { title, lines: called, log: logarithmic } of CHARTS) {
                const names = Object.keys(called);
                const label = (source, name) => {
                    if (all.length === 1) return called[name];
                    return names.length > 1 ? `${source.name} ${called[name]}` : source.name;
                };
                const lines = all.flatMap(({ source, index }) =>
                    names.map((name, i) => ({
                        label: label(source, name),
                        stroke: colour(index),
                        dash: i ? [6, 4] : undefined,
                    })),
                );
                const figure = chart({
                    title,
                    series: lines,
                    data: [[], ...lines.map(() => [])],
                    log: logarithmic,
                    sync: 'run',
                    xLabel: 'update',
                    marks: () => marks(all, page.source.name),
                    zoom: (min, max) => onZoom(figure, min, max),
                });
                charts.push({ figure, names, log: logarithmic });
                plots.append(figure.node);
            }
            fill(false);
        }
        tell();
    }

    function fill(keep) {
        const all = ready().map(({ known }) => known);
        if (!all.length) return undefined;
        if (built !== kinds()) return build(); // a run has got its first line
        zooming = true;
        for (const { figure, names, log: logarithmic } of charts) {
            const data = over(all, names, grid, logarithmic);
            figure.set(data, keep && zoomed !== null);
            if (!keep && zoomed) figure.plot.setScale('x', zoomed);
        }
        settle();
        return undefined;
    }

    /** uPlot tells of a new range after the calls that made it. */
    function settle() {
        queueMicrotask(() =>
            queueMicrotask(() => {
                zooming = false;
            }),
        );
    }

    /** A range dragged in one chart holds in all. */
    function onZoom(figure, min, max) {
        if (zooming || min === null || !charts.length) return;
        const x = figure.plot.data[0];
        const whole = !x.length || (min <= x[0] && max >= x[x.length - 1]);
        zoom(whole ? null : { min, max }, figure);
    }

    function zoom(range, except) {
        zooming = true;
        zoomed = range;
        state.set({ from: range && Math.round(range.min), to: range && Math.round(range.max) });
        for (const { figure } of charts) {
            const x = figure.plot.data[0];
            if (figure !== except && x.length)
                figure.plot.setScale('x', range ?? { min: x[0], max: x[x.length - 1] });
        }
        settle();
    }

    function tell() {
        tellRuns();
        const own = shown.get(page.source.name);
        if (!own?.known) return;
        scored.tell(ready());
        tellLog(log, own.known.events);
        if (settings.dataset.told !== String(own.config !== undefined)) {
            settings.dataset.told = String(own.config !== undefined);
            const start = own.known.events.findLast(({ environment }) => environment);
            settings.replaceChildren(
                el('h2', {}, 'Settings'),
                tree('config', own.config, true),
                start ? tree('machine', start.environment, false) : '',
            );
        }
    }

    const rows = new Map();
    /** A box per run; they stay as they are, so that the keyboard keeps its place, and their words change. */
    function tellRuns() {
        for (const [index, source] of runs.entries()) {
            if (!rows.has(source.name)) {
                const box = check({ label: source.name, value: false, change: (on) => choose(source, on) });
                const swatch = el('span', { class: `swatch line-${index % 8}`, 'aria-hidden': 'true' });
                const words = el('span', { class: 'quiet' });
                box.node.append(words);
                box.node.prepend(swatch);
                legend.append(box.node);
                rows.set(source.name, { box, words });
            }
            const { box, words } = rows.get(source.name);
            const run = shown.get(source.name);
            box.input.checked = Boolean(run);
            box.input.disabled = source.name === page.source.name;
            const last = run?.known?.last('update');
            const about = run ? `${run.state || '…'}${Number.isFinite(last) ? `, update ${last}` : ''}` : '';
            if (words.textContent !== about) words.textContent = about;
        }
    }

    function choose(source, on) {
        if (on) also.add(source.name);
        else also.delete(source.name);
        state.set({ also: [...also].join(',') || null });
        arrange();
    }

    /** A hidden page takes nothing from the training beside it. */
    const onHidden = () => {
        if (document.hidden) {
            for (const run of shown.values()) run.control.abort();
            shown.clear();
        } else arrange();
    };
    document.addEventListener('visibilitychange', onHidden);
    arrange();
    return {
        leave() {
            document.removeEventListener('visibilitychange', onHidden);
            cancelAnimationFrame(frame);
            for (const run of shown.values()) run.control.abort();
            for (const { figure } of charts) figure.destroy();
            charts = [];
            scored.destroy();
        },
    };
}

function zoomOf(state) {
    const [min, max] = [state.number('from', NaN), state.number('to', NaN)];
    return min < max ? { min, max } : null;
}

/** Rollbacks of all runs; checkpoints of the chosen one, or many lines would hide the curves. */
function marks(runs, chosen) {
    return runs.flatMap(({ source, known }) => [
        ...(source.name === chosen ? source.updates : []).map((x) => ({ x, kind: 'checkpoint' })),
        // trouble comes before its update is logged: its line stands at the end of the curve until another gets there
        ...known.rollbacks.map(({ update }) => ({ x: Math.min(update, known.last('update')), kind: 'rollback' })),
    ]);
}
