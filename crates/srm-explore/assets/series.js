// The logs of a run as typed columns: a new line costs one write per column, however long the run is.

const NUMBERS = [
    'update',
    'seconds',
    'f_data',
    'f_sample',
    'gap',
    'chain_grad_norm',
    'theta_grad_norm',
    'sample_std',
    'lr',
    'data_noise',
];
const OF_GRIDS = ['f_data', 'f_sample', 'gap', 'chain_grad_norm', 'sample_std'];

/** Numbers that grow at the end and can be cut back. */
class Column {
    #values = new Float64Array(1024);
    holes = 0;

    put(index, value) {
        if (index >= this.#values.length) {
            const wider = new Float64Array(2 * index);
            wider.set(this.#values);
            this.#values = wider;
        }
        const known = Number.isFinite(value);
        this.#values[index] = known ? value : NaN;
        this.holes += known ? 0 : 1;
    }

    /** The first `count` values; a chart leaves a gap where there is null. */
    view(count) {
        const values = this.#values.subarray(0, count);
        return this.holes ? Array.from(values, (value) => (Number.isNaN(value) ? null : value)) : values;
    }

    at(index) {
        return this.#values[index];
    }
}

/** All that is known of one run. */
export class Series {
    #columns = new Map();
    length = 0;
    /** Lines of the log read so far, those that were taken back included. */
    lines = 0;
    grids = [];
    rollbacks = [];
    events = [];
    scores = [];

    constructor() {
        for (const name of NUMBERS) this.#columns.set(name, new Column());
    }

    /** Take a line of metrics. A rollback cuts off what it took back. */
    add(line) {
        this.lines += 1;
        if (line.event === 'rollback') {
            this.rollbacks.push({ update: line.update, to: line.to });
            this.#cut(line.to ?? line.update);
            return;
        }
        if (line.event || !Number.isFinite(line.update)) return;
        this.#cut(line.update - 1);
        for (const name of NUMBERS) this.#columns.get(name).put(this.length, line[name]);
        for (const grid of line.grids ?? []) {
            for (const name of OF_GRIDS) this.#ofGrid(grid.size, name).put(this.length, grid[name]);
        }
        this.length += 1;
    }

    #ofGrid(size, name) {
        const key = `${name}@${size}`;
        let column = this.#columns.get(key);
        if (!column) {
            if (!this.grids.includes(size)) this.grids = [...this.grids, size].sort((a, b) => a - b);
            column = new Column();
            for (let i = 0; i < this.length; i += 1) column.put(i, NaN); // a grid that joined later
            this.#columns.set(key, column);
        }
        return column;
    }

    /** Keep updates up to `last`. */
    #cut(last) {
        const updates = this.#columns.get('update');
        while (this.length > 0 && updates.at(this.length - 1) > last) this.length -= 1;
    }

    /** The numbers of a name, of the whole chain or of one grid; null where there are none. */
    column(name, grid = null) {
        const key = grid && OF_GRIDS.includes(name) ? `${name}@${grid}` : name;
        return this.#columns.get(key)?.view(this.length) ?? null;
    }

    /** The last number of a name. */
    last(name) {
        return this.length ? this.#columns.get(name).at(this.length - 1) : NaN;
    }
}

/** A run's answer as a series. */
export function series(run) {
    const all = new Series();
    for (const line of run.lines) all.add(line);
    all.events = [...run.events];
    all.scores = [...run.scores];
    return all;
}

/** A logarithmic axis has no place for 0: the learning rate may begin there. */
function shown(values, log) {
    const fits = !log || values.every((value) => value === null || value > 0);
    return fits ? values : Array.from(values, (value) => (value > 0 ? value : null));
}

/**
 * The columns of several runs over one axis of updates, as uPlot takes them. Where one run has no line at another's
 * update stands undefined, over which uPlot draws on.
 */
export function over(runs, names, grid, log = false) {
    const tables = runs.map((run) => {
        const x = run.column('update');
        const columns = names.map((name) => shown(run.column(name, grid) ?? new Array(run.length).fill(null), log));
        return [x, ...columns];
    });
    return tables.length === 1 ? tables[0] : uPlot.join(tables);
}
