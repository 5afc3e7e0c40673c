// Every request of the page: errors in words, streams line by line, pixels from base64.

const STOPPED = 'srm explore has stopped; start it again.';
const NO_ACCESS = 'This page has lost its access: open the URL that srm explore printed.';

/** How long to wait before asking again a server that did not answer. */
export const RETRY_MS = 2000;

/** What went wrong, in words to show; status 0: nobody answered. */
export class Failure extends Error {
    constructor(message, status) {
        super(message);
        this.status = status;
    }
}

/** Whether an error only says that we ended the request ourselves. */
export const isAbort = (error) => error?.name === 'AbortError';

/** Wait; an abort ends the wait early. */
export function pause(ms, signal) {
    return new Promise((resolve) => {
        const timer = setTimeout(resolve, ms);
        signal?.addEventListener(
            'abort',
            () => {
                clearTimeout(timer);
                resolve();
            },
            { once: true },
        );
    });
}

async function reason(answer) {
    if (answer.status === 401) return NO_ACCESS;
    try {
        const { error } = await answer.json();
        if (error) return String(error);
    } catch (error) {
        if (isAbort(error)) throw error;
    }
    return `srm explore answered ${answer.status}.`;
}

async function ask(path, options = {}) {
    let answer;
    try {
        answer = await fetch(path, { credentials: 'same-origin', cache: 'no-store', ...options });
    } catch (error) {
        throw isAbort(error) ? error : new Failure(STOPPED, 0);
    }
    if (answer.ok) return answer;
    throw new Failure(await reason(answer), answer.status);
}

async function json(path, options) {
    const answer = await ask(path, options);
    try {
        return await answer.json();
    } catch (error) {
        throw isAbort(error) ? error : new Failure(STOPPED, 0);
    }
}

/** The lines of a body, as they come. */
async function* lines(answer) {
    const reader = answer.body.getReader();
    const decoder = new TextDecoder();
    let rest = '';
    try {
        for (;;) {
            const { done, value } = await reader.read();
            const seen = rest.length;
            rest += value ? decoder.decode(value, { stream: true }) : '';
            let start = 0;
            for (let end = rest.indexOf('\n', seen); end >= 0; end = rest.indexOf('\n', start)) {
                yield rest.slice(start, end).replace(/\r$/, '');
                start = end + 1;
            }
            rest = rest.slice(start);
            if (done) break;
        }
    } catch (error) {
        throw isAbort(error) || error instanceof Failure ? error : new Failure(STOPPED, 0);
    } finally {
        reader.cancel().catch(() => {});
    }
    if (rest) yield rest;
}

function posted(body, signal) {
    return { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body), signal };
}

/** A POST answered by a line per result; gives back the line that says "done". */
async function stream(path, body, { signal, each }) {
    const answer = await ask(path, posted(body, signal));
    for await (const line of lines(answer)) {
        if (!line) continue;
        const said = JSON.parse(line);
        if (said.error) throw new Failure(String(said.error), 200);
        if (said.done) return said;
        signal?.throwIfAborted();
        each(said);
    }
    throw new Failure('The work ended before it was done.', 200);
}

function bytes(text) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    const raw = atob(text);
    const all = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i += 1) all[i] = raw.charCodeAt(i);
    return all;
}

/** An answer with its pixels as bytes. */
const unpacked = (said) => ({ ...said, pixels: bytes(said.pixels) });

export const getSources = (signal) => json('/api/sources', { signal });
export const getRun = (id, signal) => json(`/api/runs/${id}`, { signal });

/** Draw; `each` hears every state as soon as it is there. */
export const draw = (body, { signal, each }) =>
    stream('/api/draw', body, { signal, each: (said) => each(unpacked(said)) });

export const reconstruct = (body, { signal, each }) =>
    stream('/api/reconstruct', body, { signal, each: (said) => each(unpacked(said)) });

export async function neighbours(body, signal) {
    const { images, error } = await json('/api/neighbours', posted(body, signal));
    if (error) throw new Failure(String(error), 200);
    return images.map(unpacked);
}

/** Hand a picture file over; `crop` is {left, top, side} in pixels of the original, or null. */
export async function sendPicture(source, crop, file, signal) {
    const query = new URLSearchParams({ source, ...crop });
    const headers = { 'Content-Type': 'application/octet-stream' };
    return unpacked(await json(`/api/pictures?${query}`, { method: 'POST', headers, body: file, signal }));
}

/** A picture handed over before; where the server does not know it, a Failure. */
export const getPicture = async (name, source, signal) =>
    unpacked(await json(`/api/pictures/${encodeURIComponent(name)}?source=${source}`, { signal }));

export function sendMask(source, mask, signal) {
    const headers = { 'Content-Type': 'application/octet-stream' };
    return json(`/api/masks?source=${source}`, { method: 'POST', headers, body: mask, signal });
}

/**
 * Follow a run over one connection; `hear(name, data)` takes each message. Ends where the stream does.
 * (An EventSource would not tell a lost access from a stop, and would ask for the same first line again.)
 */
export async function follow(id, { lines: count, events, scores }, hear, signal) {
    const answer = await ask(`/api/runs/${id}/live?lines=${count}&events=${events}&scores=${scores}`, { signal });
    let name = 'message';
    let data = [];
    for await (const line of lines(answer)) {
        if (line.startsWith('event:')) name = line.slice(6).trim();
        else if (line.startsWith('data:')) data.push(line.slice(5).replace(/^ /, ''));
        else if (!line) {
            if (data.length) hear(name, JSON.parse(data.join('\n')));
            name = 'message';
            data = [];
        }
    }
}

/** One piece of work at a time: a newer one ends the older first. */
export class Latest {
    #control = null;

    /** Run `work(signal)`; errors go to `fail`, an abort to nobody. Says whether it came to its end. */
    async run(work, fail) {
        this.stop();
        const control = new AbortController();
        this.#control = control;
        try {
            await work(control.signal);
            return !control.signal.aborted;
        } catch (error) {
            if (!control.signal.aborted) fail(error);
            return false;
        } finally {
            if (this.#control === control) this.#control = null;
        }
    }

    get busy() {
        return this.#control !== null;
    }

    stop() {
        this.#control?.abort();
        this.#control = null;
    }
}
