// States of chains as they come from the server, kept by update so that sliders answer at once.

import { draw } from './api.js';

const KEPT_BYTES = 192 << 20;
const ANSWER_BYTES = 12 << 20;
const MOST_STATES = 121;

/** `count` whole numbers from low to high, both ends among them, evenly spread. */
export function spread(low, high, count) {
    const steps = Math.max(1, Math.min(count - 1, high - low));
    return [...new Set(Array.from({ length: steps + 1 }, (_, i) => Math.round(low + ((high - low) * i) / steps)))];
}

/** The states to ask for: all up to K where they fit into an answer, fewer past K. */
export function states(source, count, past) {
    const bytes = count * source.size ** 2 * source.channels;
    const room = Math.max(5, Math.min(MOST_STATES, Math.floor(ANSWER_BYTES / bytes)));
    const { steps } = source;
    if (!past) return spread(0, steps, room);
    const within = spread(0, steps, Math.max(3, Math.floor(room / 2)));
    return [...within, ...spread(steps, 10 * steps, room - within.length).slice(1)];
}

/** The frames of one request, in order of k. */
export class Frames {
    all = [];
    done = null;
    bytes = 0;

    add(frame) {
        this.all.push(frame);
        this.bytes += frame.pixels.length;
    }

    /** The last frame at or before step k; before the first there is none. */
    at(k) {
        let found = null;
        for (const frame of this.all) {
            if (frame.k > k) break;
            found = frame;
        }
        return found;
    }

    /** f of each image over k: [steps, of image 0, of image 1, …]. */
    curves() {
        const steps = this.all.map(({ k }) => k);
        const count = this.all[0]?.f.length ?? 0;
        const of = (i) => this.all.map(({ f }) => (Number.isFinite(f[i]) ? f[i] : null));
        return [steps, ...Array.from({ length: count }, (_, i) => of(i))];
    }

    /** Mean f over the images at each k. */
    mean() {
        return this.all.map(({ f }) => {
            const known = f.filter(Number.isFinite);
            return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
        });
    }
}

/** Draw into a Frames; `each` hears of every state. */
export async function drawInto(frames, body, { signal, each = () => {} }) {
    frames.done = await draw(body, {
        signal,
        each(frame) {
            frames.add(frame);
            each(frame);
        },
    });
    return frames;
}

/** Finished frames by key; the oldest make room. */
export class Cache {
    #all = new Map();

    get(key) {
        const found = this.#all.get(key);
        if (found) {
            this.#all.delete(key);
            this.#all.set(key, found);
        }
        return found;
    }

    set(key, frames) {
        this.#all.set(key, frames);
        let bytes = [...this.#all.values()].reduce((sum, kept) => sum + kept.bytes, 0);
        for (const [oldest, kept] of this.#all) {
            if (bytes <= KEPT_BYTES || oldest === key) break;
            this.#all.delete(oldest);
            bytes -= kept.bytes;
        }
    }

    clear() {
        this.#all.clear();
    }
}
