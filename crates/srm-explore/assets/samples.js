// Samples: as many as one likes, in the order of the seed; a click shows one's chain, and what is near it.

import { Latest, neighbours } from './api.js';
import { chart, colour } from './chart.js';
import { Frames, drawInto, spread, states } from './frames.js';
import { button, canvas, check, commandBar, el, nothingYet, paint, seedNumber, short } from './widgets.js';

const BATCH = 32;
const MOST_AT_ONCE = 16; // batches that a URL brings back
const STRIP = 11;
const RHOS = [0.97, 0.9];
const OTHERS = [1, 2, 3, 4];
const NEAREST = 5;

export function mount(root, page) {
    const { source, state, update } = page;
    if (source.newest === null && source.kind === 'run') {
        nothingYet(root, source);
        return {};
    }
    const loading = new Latest();
    let seed = state.integer('seed', 1, 0, 2 ** 53);
    let noise = state.flag('noise', true);
    let batches = 0;
    let chosen = state.integer('image', -1, -1, 1e9);
    let about = null;
    let stuck = false;

    const seedField = seedNumber(state, seed, (value) => {
        seed = value;
        again();
    });
    const noiseBox = check({
        label: 'Noise u in the steps',
        value: noise,
        change(on) {
            noise = on;
            state.set({ noise });
            again();
        },
    });
    const grid = el('div', { class: 'batches' });
    const moreButton = button(`${BATCH} more`, () => {
        stuck = false;
        more();
    });
    const end = el('div', { class: 'end' }, moreButton);
    const side = el('aside', { class: 'card side', 'aria-label': 'One sample', tabindex: -1 });
    side.hidden = true;
    root.append(
        el('div', { class: 'controls' }, seedField.node, noiseBox.node),
        el('div', { class: 'with-side' }, el('div', {}, grid, end), side),
    );

    const body = (codes, wanted) => ({ source: source.id, update, codes, steps: null, noise, states: wanted });

    /** Draw the next batch; one at a time. */
    function more() {
        if (loading.busy) return undefined;
        const from = batches * BATCH;
        const numbers = Array.from({ length: BATCH }, (_, i) => from + i);
        const pictures = numbers.map((image) => canvas(`sample ${image}`));
        const tiles = el(
            'div',
            { class: 'tiles' },
            ...numbers.map((image, i) =>
                el(
                    'button',
                    {
                        type: 'button',
                        class: 'tile',
                        'data-image': image,
                        'aria-pressed': String(image === chosen),
                        title: `image ${image}`,
                        onclick: () => choose(image),
                    },
                    pictures[i],
                ),
            ),
        );
        const command = commandBar(page, `Copy ${from}–${from + BATCH - 1} as command`);
        const section = el('section', {}, tiles, command.node);
        grid.append(section);
        moreButton.disabled = true;
        return loading
            .run(
                async (signal) => {
                    const frames = await drawInto(
                        new Frames(),
                        body(
                            numbers.map((image) => ({ seed, image })),
                            'end',
                        ),
                        {
                            signal,
                            each(frame) {
                                pictures.forEach((picture, i) => paint(picture, frame, i));
                            },
                        },
                    );
                    command.set(frames.done.command);
                    batches += 1;
                    state.set({ batches: batches > 1 ? batches : null });
                    page.fail(null);
                },
                (error) => {
                    section.remove();
                    stuck = true; // or the end, which stays in sight, would ask again at once
                    page.fail(error);
                },
            )
            .then((drawn) => {
                moreButton.disabled = false;
                if (drawn) onEnd();
            });
    }

    let atEnd = false;
    const wantedBatches = Math.min(state.integer('batches', 1, 1, 1e6), MOST_AT_ONCE);
    const onEnd = () => {
        if (!stuck && !document.hidden && (atEnd || batches < wantedBatches)) more();
    };
    const watcher = new IntersectionObserver(
        (entries) => {
            atEnd = entries.at(-1).isIntersecting;
            onEnd();
        },
        { rootMargin: '200px' },
    );

    function again() {
        loading.stop();
        about?.leave();
        side.hidden = true;
        chosen = -1;
        batches = 0;
        stuck = false;
        grid.replaceChildren();
        state.set({ image: null, batches: null });
        more();
    }

    function choose(image) {
        chosen = image;
        state.set({ image });
        for (const tile of grid.querySelectorAll('.tile'))
            tile.setAttribute('aria-pressed', String(Number(tile.dataset.image) === image));
        about?.leave();
        side.hidden = false;
        about = one(side, page, { seed, image, body, close });
        side.focus({ preventScroll: innerWidth > 900 });
    }

    function close() {
        about?.leave();
        about = null;
        side.hidden = true;
        const tile = grid.querySelector(`[data-image="${chosen}"]`);
        tile?.setAttribute('aria-pressed', 'false');
        tile?.focus();
        chosen = -1;
        state.set({ image: null });
    }

    more();
    watcher.observe(end);
    if (chosen >= 0) choose(chosen);
    return {
        leave() {
            watcher.disconnect();
            loading.stop();
            about?.leave();
        },
    };
}

/** The panel of one sample. */
function one(side, page, { seed, image, body, close }) {
    const { source, update } = page;
    const work = new Latest();
    const all = states(source, 1, false);
    const wanted = spread(0, source.steps, STRIP);
    const strip = el('div', { class: 'strip', tabindex: 0, role: 'group', 'aria-label': 'Its chain' });
    const stripCommand = commandBar(page);
    const curve = chart({
        title: 'f over k',
        data: [[], []],
        height: 140,
        legend: false,
        series: [{ label: 'f', stroke: colour(0), width: 2 }],
    });
    const f = el('p', { class: 'quiet' });
    const nearest = el('div', {
        class: 'strip',
        tabindex: 0,
        role: 'group',
        'aria-label': 'Nearest training images',
    });
    const near = el('div', {});
    const nearCommand = commandBar(page);
    side.replaceChildren(
        el('div', { class: 'row' }, el('h2', {}, `Image ${image} of seed ${seed}`), button('Close', close)),
        el('h3', {}, 'Its chain'),
        strip,
        stripCommand.node,
        f,
        curve.node,
        el('h3', {}, 'Neighbours in z'),
        near,
        nearCommand.node,
        el('h3', {}, 'Nearest training images'),
        nearest,
        button('To the latent plane', () =>
            page.go('plane', { seed, images: image, x: 0, y: 0, map: null, noise: image }),
        ),
    );

    const captioned = (picture, words) => el('figure', {}, picture, el('figcaption', {}, words));

    async function chain(signal) {
        const frames = new Frames();
        await drawInto(frames, body([{ seed, image }], all), {
            signal,
            each(frame) {
                curve.set(frames.curves());
                // of the states that are not all there, the first at or after the wanted one stands for it
                if (strip.children.length < wanted.length && frame.k >= wanted[strip.children.length]) {
                    const picture = canvas(`step ${frame.k}`);
                    paint(picture, frame);
                    strip.append(captioned(picture, String(frame.k)));
                }
            },
        });
        f.textContent = `f at K: ${short(frames.all.at(-1).f[0])}`;
        stripCommand.set(frames.done.command);
    }

    async function mixes(signal) {
        const rows = RHOS.map((rho) => ({
            rho,
            pictures: OTHERS.map((other) => canvas(`with image ${image + other}, ρ ${rho}`)),
        }));
        near.replaceChildren(
            ...rows.map(({ rho, pictures }) =>
                el('div', { class: 'strip' }, el('span', { class: 'quiet' }, `ρ ${rho}`), ...pictures),
            ),
        );
        const codes = RHOS.flatMap((rho) =>
            OTHERS.map((other) => ({
                mix: [
                    [rho, seed, image],
                    [Math.sqrt(1 - rho * rho), seed, image + other],
                ],
                noise_image: image,
            })),
        );
        const pictures = rows.flatMap((row) => row.pictures);
        const frames = await drawInto(new Frames(), body(codes, 'end'), {
            signal,
            each(frame) {
                pictures.forEach((picture, i) => paint(picture, frame, i));
            },
        });
        nearCommand.set(frames.done.command);
    }

    async function trained(signal) {
        nearest.replaceChildren(el('p', { class: 'quiet' }, 'Searching …'));
        try {
            const found = await neighbours(
                { source: source.id, update, code: { seed, image }, count: NEAREST },
                signal,
            );
            nearest.replaceChildren(
                ...found.map((frame) => {
                    const picture = canvas(`training image ${frame.index}`);
                    paint(picture, frame);
                    return captioned(picture, `${frame.index}: ${short(frame.distance)}`);
                }),
            );
        } catch (error) {
            if (signal.aborted) throw error;
            nearest.replaceChildren(el('p', { class: 'quiet' }, error.message));
            if (error.status === 401 || error.status === 0) throw error;
        }
    }

    // one after another: the server has one queue, and what is seen first comes first
    work.run(async (signal) => {
        await chain(signal);
        await mixes(signal);
        await trained(signal);
    }, page.fail);
    return {
        leave() {
            work.stop();
            curve.destroy();
        },
    };
}
