// Chain × training: one slider for the step of the chain, one for the update of the training; the same start noise and
// the same noise of the steps in every picture.

import { Latest, draw } from './api.js';
import { chart, colour } from './chart.js';
import { Cache, Frames, drawInto, states } from './frames.js';
import {
    button,
    canvas,
    check,
    commandBar,
    el,
    nothingYet,
    number,
    paint,
    seedNumber,
    select,
    slider,
    stillMotion,
} from './widgets.js';

const COUNTS = [1, 4, 9, 16, 25];
const SPEEDS = [
    ['2', 'slow'],
    ['8', 'medium'],
    ['24', 'fast'],
];

export function mount(root, page) {
    const { state } = page;
    let { source } = page;
    if (source.newest === null && source.kind === 'run') {
        nothingYet(root, source);
        return {};
    }
    const cache = new Cache();
    const latest = new Latest();
    const ahead = new Latest();
    let updates = source.updates;
    let count = COUNTS.includes(state.integer('count', 16)) ? state.integer('count', 16) : 16;
    let seed = state.integer('seed', 1, 0, 2 ** 53);
    let first = state.integer('first', 0, 0, 1e9);
    let noise = state.flag('noise', true);
    let past = state.flag('past', false);
    let steps = states(source, count, past);
    let shown = new Frames();
    let stamp = '';
    let playing = null;

    const wantedUpdate = state.integer('update', -1);
    const place = updates.includes(wantedUpdate) ? updates.indexOf(wantedUpdate) : updates.length - 1;
    const nearest = (k) =>
        steps.reduce((best, step, i) => (Math.abs(step - k) < Math.abs(steps[best] - k) ? i : best), 0);
    const current = () => (updates.length ? updates[times.value] : null);
    const k = () => steps[chain.value];

    const chain = slider({
        label: 'Step k of the chain',
        max: steps.length - 1,
        value: nearest(state.number('k', source.steps)),
        show: (i) => `k = ${steps[i]} of K = ${source.steps}`,
        input: () => {
            remember();
            show();
        },
    });
    const times = slider({
        label: 'Update of the training',
        max: Math.max(0, updates.length - 1),
        value: Math.max(0, place),
        show: (i) => (updates.length ? `update ${updates[i]} of ${updates.at(-1)}` : 'one net, no checkpoints'),
        input: () => {
            remember();
            fetchFrames();
        },
    });
    times.range.disabled = updates.length < 2;
    const playChain = button('Play k', () => play('k'), { 'aria-pressed': 'false' });
    const playTimes = button('Play updates', () => play('update'), { 'aria-pressed': 'false' });
    playTimes.disabled = updates.length < 2;
    const speed = select({
        label: 'Speed',
        options: SPEEDS,
        value: state.text('speed', stillMotion() ? '2' : '8'),
        change: (value) => state.set({ speed: value }),
    });
    const loop = check({
        label: 'Loop',
        value: state.flag('loop', false),
        change: (on) => state.set({ loop: on }),
    });
    const pastBox = check({
        label: `Go on past K, to ${10 * source.steps}`,
        value: past,
        change(on) {
            const at = k();
            past = on;
            state.set({ past: on });
            begin(at);
        },
    });
    const countField = select({
        label: 'Chains',
        options: COUNTS.map((n) => [String(n), String(n)]),
        value: String(count),
        change(value) {
            count = Number(value);
            state.set({ count });
            lay();
            begin(k());
        },
    });
    const seedField = seedNumber(state, seed, (value) => {
        seed = value;
        begin(k());
    });
    const firstField = number({
        label: 'First image',
        min: 0,
        max: 1e9,
        value: first,
        change(value) {
            first = value;
            state.set({ first });
            begin(k());
        },
    });
    const noiseBox = check({
        label: 'Noise u in the steps',
        value: noise,
        change(on) {
            noise = on;
            state.set({ noise });
            begin(k());
        },
    });
    const grid = el('div', { class: 'tiles large' });
    const about = el('p', { class: 'quiet' });
    const command = commandBar(page);
    const curve = chart({
        title: 'f over k, mean of the chains; the line is the step shown, the dashed one K',
        data: [[0], [null]],
        height: 150,
        legend: false,
        series: [{ label: 'mean f', stroke: colour(0), width: 2 }],
        marks: () => [
            { x: source.steps, kind: 'K' },
            { x: shownFrame()?.k ?? 0, kind: 'now' },
        ],
    });
    root.append(
        el(
            'div',
            { class: 'scrub' },
            el('div', { class: 'row' }, chain.node, playChain),
            el('div', { class: 'row' }, times.node, playTimes),
        ),
        el(
            'div',
            { class: 'two' },
            el('div', {}, grid, about, command.node),
            el(
                'div',
                {},
                curve.node,
                el('div', { class: 'controls' }, speed.node, countField.node, seedField.node, firstField.node),
                el('div', { class: 'controls' }, loop.node, pastBox.node, noiseBox.node),
            ),
        ),
    );

    function lay() {
        const across = Math.sqrt(count);
        grid.style.gridTemplateColumns = `repeat(${across}, 1fr)`;
        grid.replaceChildren(...Array.from({ length: count }, (_, i) => canvas(`chain ${first + i}`)));
    }

    const key = (update) => JSON.stringify([update, seed, first, count, noise, past]);
    const body = (update) => ({
        source: source.id,
        update,
        steps: past ? 10 * source.steps : null,
        noise,
        states: steps,
        codes: Array.from({ length: count }, (_, i) => ({ seed, image: first + i })),
    });

    function remember() {
        state.set({
            k: k() === source.steps ? null : k(),
            update: current() === updates.at(-1) ? null : current(),
        });
    }

    /** Other chains or other steps: all kept frames are of no use. */
    function begin(at) {
        steps = states(source, count, past);
        chain.set(nearest(at), steps.length - 1);
        remember();
        fetchFrames();
    }

    /** Show the frames of the update: from the cache, or as they come. */
    function fetchFrames() {
        const update = current();
        const kept = cache.get(key(update));
        if (kept) {
            latest.stop();
            use(kept, update);
            lookAhead();
            return Promise.resolve(true);
        }
        ahead.stop();
        return latest.run(
            async (signal) => {
                const frames = new Frames();
                grid.setAttribute('aria-busy', 'true');
                await drawInto(frames, body(update), {
                    signal,
                    each({ k: step }) {
                        // what was shown stays until its successor is there
                        if (step >= k() || shown === frames || !shown.all.length) use(frames, update);
                    },
                });
                cache.set(key(update), frames);
                use(frames, update);
                page.fail(null);
                lookAhead();
            },
            (error) => {
                stop();
                page.fail(error);
            },
        );
    }

    /** Draw the update after this one, so that going on is instant; nothing more, an idle page does no work. */
    function lookAhead() {
        const next = updates[times.value + 1];
        if (next === undefined || cache.get(key(next)) || document.hidden) return;
        const wanted = key(next);
        ahead.run(
            async (signal) => {
                cache.set(wanted, await drawInto(new Frames(), body(next), { signal }));
            },
            () => {},
        ); // who goes there asks again, and hears what is wrong
    }

    function use(frames, update) {
        shown = frames;
        stamp = update;
        show();
    }

    const shownFrame = () => shown.at(k());

    function show() {
        const frame = shownFrame();
        if (!frame) return;
        const behind = !shown.done && frame.k < k();
        grid.setAttribute('aria-busy', String(behind || stamp !== current()));
        for (const [i, target] of [...grid.children].entries()) {
            if (i < frame.f.length) paint(target, frame, i);
        }
        const mean = shown.mean();
        const last = shown.all.at(-1).k;
        const words = [`k = ${frame.k}`, `${frame.size} px`];
        if (stamp !== null) words.push(`update ${stamp}`);
        if (behind) words.push(`drawing: k = ${last} of ${steps.at(-1)}`);
        if (frame.k > source.steps)
            words.push('past K: f was learned for K steps, and the chain leaves the images');
        about.textContent = words.join(' · ');
        curve.set([shown.all.map(({ k: step }) => step), mean]);
        tellCommand(frame);
    }

    const commands = new Map(); // of earlier steps, which have commands of their own
    /** A command ends where it shows: at an earlier step it has fewer steps, and is asked for when it is wanted. */
    function tellCommand({ k: step, size }) {
        if (!shown.done) return command.set(null);
        if (step === steps.at(-1)) return command.set(shown.done.command);
        const asked = { ...body(stamp), steps: step, states: 'end' };
        const name = JSON.stringify(asked);
        if (commands.has(name)) return command.set(commands.get(name));
        // no command ends before the first step, or on a coarser grid
        if (step === 0 || size < source.size) return command.set(null);
        return command.ask(`… --steps ${step}, made when it is copied`, async () => {
            const { command: said } = await draw(asked, { each() {} });
            commands.set(name, said);
            return said;
        });
    }

    function press(control, on) {
        control.setAttribute('aria-pressed', String(on));
        const what = control === playChain ? 'k' : 'updates';
        control.textContent = on ? `Stop ${what}` : `Play ${what}`;
    }

    function stop() {
        playing?.abort();
        playing = null;
        press(playChain, false);
        press(playTimes, false);
    }

    /** Move a slider on until its end; over updates each waits for its frames. */
    async function play(what) {
        const was = playing?.what;
        stop();
        if (was === what) return;
        const control = new AbortController();
        control.what = what;
        playing = control;
        const along = what === 'k' ? chain : times;
        press(what === 'k' ? playChain : playTimes, true);
        const most = () => Number(along.range.max);
        if (along.value >= most()) along.set(0);
        while (!control.signal.aborted) {
            remember();
            if (what === 'k') show();
            else if (!(await fetchFrames())) break;
            await new Promise((resolve) => {
                setTimeout(resolve, 1000 / (what === 'k' ? Number(speed.input.value) : speed.input.value / 4));
            });
            if (control.signal.aborted) return;
            if (along.value < most()) along.set(along.value + 1);
            else if (loop.input.checked) along.set(0);
            else break;
        }
        if (playing === control) stop();
    }

    lay();
    fetchFrames();
    return {
        /** New checkpoints lengthen the slider; what is shown stays. */
        renew(now) {
            source = now;
            if (now.updates.join() === updates.join()) return;
            const at = current();
            const atEnd = times.value === updates.length - 1;
            updates = now.updates;
            times.range.disabled = playTimes.disabled = updates.length < 2;
            const kept = updates.indexOf(at);
            times.set(kept < 0 || (atEnd && !playing) ? updates.length - 1 : kept, updates.length - 1);
            if (current() !== at) fetchFrames();
        },
        leave() {
            stop();
            latest.stop();
            ahead.stop();
            curve.destroy();
        },
    };
}
