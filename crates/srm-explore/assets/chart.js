// Charts by uPlot, in the colours of the page.

import { el, short } from './widgets.js';

const FONT = '12px system-ui, sans-serif';
const all = new Set();

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    for (const plot of all) plot.redraw(false);
});

const LINES = 8;
/** Colour of line or run i. */
export const colour = (index) => () => css(`--line-${index % LINES}`);

const axis = (more) => ({
    font: FONT,
    labelFont: FONT,
    stroke: () => css('--quiet'),
    grid: { stroke: () => css('--grid'), width: 1 },
    ticks: { stroke: () => css('--grid'), width: 1, size: 4 },
    ...more,
});

/** Vertical lines under the curves; `marks()` gives {x, kind, colour} for each. */
function markPlugin(marks) {
    const draw = (plot) => {
        const { ctx, bbox } = plot;
        ctx.save();
        for (const { x, kind } of marks()) {
            const at = Math.round(plot.valToPos(x, 'x', true));
            if (!(at >= bbox.left && at <= bbox.left + bbox.width)) continue;
            const loud = kind !== 'checkpoint';
            ctx.strokeStyle = css(kind === 'rollback' ? '--bad' : kind === 'now' ? '--accent' : '--mark');
            ctx.lineWidth = (loud ? 1.5 : 1) * devicePixelRatio;
            ctx.setLineDash(kind === 'now' ? [] : loud ? [6, 4] : [2, 4]);
            ctx.beginPath();
            ctx.moveTo(at, bbox.top);
            ctx.lineTo(at, bbox.top + bbox.height);
            ctx.stroke();
        }
        ctx.restore();
    };
    return { hooks: { drawAxes: draw } };
}

/**
 * A chart in a figure. `series` are {label, stroke, dash, width}; `data` as uPlot takes it; `marks()` vertical lines;
 * `sync` a key that shares the cursor; `zoom(min, max)` hears of a new x range.
 */
export function chart({
    title,
    series,
    data,
    marks = () => [],
    height = 170,
    log = false,
    sync,
    zoom,
    legend = true,
    xLabel = 'k',
}) {
    const host = el('div', { class: 'plot' });
    const node = el('figure', { class: 'chart' }, el('figcaption', {}, title), host);
    const hooks = {
        // without a cursor the legend tells the last values, not nothing
        setLegend: [
            (plot) => {
                const last = plot.data[0].length - 1;
                if (legend && last >= 0 && (plot.legend.idx ?? null) === null) plot.setLegend({ idx: last }, false);
            },
        ],
        setScale: [
            (plot, key) => {
                if (key === 'x') zoom?.(plot.scales.x.min, plot.scales.x.max);
            },
        ],
    };
    const options = {
        width: 300,
        height,
        cursor: {
            sync: sync ? { key: sync, setSeries: false } : undefined,
            drag: { x: true, y: false },
            y: false,
            points: { size: 6 },
        },
        legend: { show: legend, live: true },
        scales: { x: { time: false }, y: { distr: log ? 3 : 1 } },
        axes: [
            axis({ size: 28 }),
            axis({ size: 58, values: (plot, ticks) => ticks.map((tick) => (tick === null ? '' : short(tick))) }),
        ],
        series: [
            { label: xLabel, value: (plot, x) => (x === null || x === undefined ? '–' : String(x)) },
            ...series.map((line) => ({
                width: 1.5,
                points: { show: false },
                value: (plot, y) => short(y ?? NaN),
                ...line,
            })),
        ],
        plugins: [markPlugin(marks)],
        hooks,
    };
    const plot = new uPlot(options, data, host);
    all.add(plot);
    let frame = 0;
    const sizes = new ResizeObserver(() => {
        cancelAnimationFrame(frame);
        frame = requestAnimationFrame(() => {
            const width = Math.floor(host.clientWidth);
            if (width > 0 && width !== plot.width) plot.setSize({ width, height });
        });
    });
    sizes.observe(host);
    return {
        node,
        plot,
        /** New data; `keep` leaves the x range as it is and fits y to it. */
        set(next, keep = false) {
            const { min, max } = plot.scales.x;
            plot.setData(next, !keep);
            if (legend && (plot.cursor.idx ?? null) === null) plot.setLegend({ idx: null });
            if (keep) plot.setScale('x', { min, max });
        },
        destroy() {
            cancelAnimationFrame(frame);
            sizes.disconnect();
            all.delete(plot);
            plot.destroy();
        },
    };
}
