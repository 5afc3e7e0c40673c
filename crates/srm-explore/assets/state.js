// The URL's hash holds what a view shows, so that a reload or a pasted URL brings it back: `#plane?x=0.1&y=0.2`.

const WRITE_MS = 250; // browsers refuse more than about 200 writes in 30 s

export class State {
    #values = new URLSearchParams();
    #kept = new Map();
    #timer = null;
    view = '';

    constructor(views) {
        this.views = views;
        this.read();
        addEventListener('pagehide', () => this.flush());
    }

    /** Take what the URL says. */
    read() {
        clearTimeout(this.#timer);
        this.#timer = null;
        const [view, values] = location.hash.slice(1).split(/\?(.*)/s);
        this.view = this.views.includes(view) ? view : this.views[0];
        this.#values = new URLSearchParams(values ?? '');
    }

    text(key, fallback = '') {
        return this.#values.get(key) ?? fallback;
    }

    /** A number within its limits; what is none is the fallback. */
    number(key, fallback, low = -Infinity, high = Infinity) {
        const text = this.#values.get(key);
        const value = text === null || text.trim() === '' ? NaN : Number(text);
        return Number.isFinite(value) ? Math.min(Math.max(value, low), high) : fallback;
    }

    integer(key, fallback, low, high) {
        return Math.round(this.number(key, fallback, low, high));
    }

    flag(key, fallback) {
        const text = this.#values.get(key);
        return text === null ? fallback : text === '1';
    }

    /** Write values; null takes one out. */
    set(values) {
        for (const [key, value] of Object.entries(values)) {
            if (value === null || value === undefined) this.#values.delete(key);
            else this.#values.set(key, typeof value === 'boolean' ? Number(value) : value);
        }
        this.#timer ??= setTimeout(() => this.flush(), WRITE_MS);
    }

    #hash() {
        const values = this.#values.toString().replaceAll('%2C', ',').replaceAll('%2F', '/');
        return `#${this.view}${values ? `?${values}` : ''}`;
    }

    flush() {
        clearTimeout(this.#timer);
        this.#timer = null;
        if (location.hash !== this.#hash()) history.replaceState(null, '', this.#hash());
    }

    /** Go to another view, which finds what it showed last; `carry` names values that go along. */
    go(view, carry, more = {}) {
        this.flush();
        this.#kept.set(this.view, this.#values);
        const carried = carry.map((key) => [key, this.#values.get(key)]);
        this.view = view;
        this.#values = new URLSearchParams(this.#kept.get(view) ?? '');
        this.set({ ...Object.fromEntries(carried), ...more });
        clearTimeout(this.#timer);
        this.#timer = null;
        history.pushState(null, '', this.#hash());
    }
}
