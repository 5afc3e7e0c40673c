// Latent plane: seeds on a map, a handle between them; z is their mix by nearness, which the server brings to the
// variance of one start noise.

import { Latest } from './api.js';
import { Frames, drawInto } from './frames.js';
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
    short,
    text,
} from './widgets.js';
import { walk } from './walk.js';

const ROOT3 = Math.sqrt(3) / 2;
/** Places on the map, from -1 to 1, y down. */
const LAYOUTS = {
    hexagon: [
        [0, 0],
        [0.82, 0],
        [0.41, 0.82 * ROOT3],
        [-0.41, 0.82 * ROOT3],
        [-0.82, 0],
        [-0.41, -0.82 * ROOT3],
        [0.41, -0.82 * ROOT3],
    ],
    square: [-0.78, 0, 0.78].flatMap((y) => [-0.78, 0, 0.78].map((x) => [x, y])),
};
const SNAP = 0.02; // nearer than this the handle is on the seed
const RING = 9; // pixels around a seed whose weight is 1
const STEP = 0.02; // of an arrow key
const MOST_IMAGE = 1e9;

/** Weights by the inverse square of the distance: 1 on a seed, where the others have 0. */
export function weightsAt([x, y], places) {
    const squares = places.map(([px, py]) => (x - px) ** 2 + (y - py) ** 2);
    const on = squares.findIndex((square) => square < SNAP ** 2);
    if (on >= 0) return squares.map((_, i) => Number(i === on));
    const near = squares.map((square) => 1 / square);
    const sum = near.reduce((all, value) => all + value, 0);
    return near.map((value) => Number((value / sum).toFixed(4)));
}

const round = (value) => Math.min(Math.max(Number(value.toFixed(3)), -1), 1);

export function mount(root, page) {
    const { source, state, update } = page;
    if (source.newest === null && source.kind === 'run') {
        nothingYet(root, source);
        return {};
    }
    let layout = LAYOUTS[state.text('map')] ? state.text('map') : 'hexagon';
    let places = LAYOUTS[layout];
    let seed = state.integer('seed', 1, 0, 2 ** 53);
    let own = state.integer('noise', 0, 0, MOST_IMAGE);
    let noisy = state.flag('noisy', true);
    let seeds = imagesOf(state.text('images'), places.length);
    let at = [round(state.number('x', 0.3, -1, 1)), round(state.number('y', 0.2, -1, 1))];
    const early = earlyState(source);
    const thumbs = new Latest();
    const one = new Latest();
    let waiting = false; // the handle has moved on while the request in flight has shown nothing yet
    let shownFirst = true;

    // the first entry stays even at weight 0: the noise is of its seed
    const mix = (weights) => ({
        mix: weights.map((weight, i) => [weight, seed, seeds[i]]).filter(([weight], i) => i === 0 || weight !== 0),
        noise_image: own,
    });
    const body = (codes, wanted) => ({
        source: source.id,
        update,
        codes,
        steps: null,
        noise: noisy,
        states: wanted,
    });

    const map = el('div', { class: 'map' });
    const handle = el('button', {
        type: 'button',
        class: 'handle',
        'aria-label': 'Handle on the map: arrow keys move it, with Shift further',
        'aria-describedby': 'mixed',
    });
    let spots = [];
    const big = canvas('image at the handle', { class: 'big' });
    const words = el('p', { class: 'quiet', id: 'mixed', 'aria-live': 'polite' });
    const stage = el('p', { class: 'quiet' });
    const command = commandBar(page);
    const pins = walk(page, {
        body,
        mix,
        weights: (point) => weightsAt(point, places),
        goTo: (point) => moveTo(point),
    });
    const imagesField = text({
        label: 'Images at the places',
        value: seeds.join(', '),
        change(value) {
            seeds = imagesOf(value, places.length);
            again();
        },
    });
    const layoutField = select({
        label: 'Map',
        options: [
            ['hexagon', 'hexagon of 7'],
            ['square', '3 × 3'],
        ],
        value: layout,
        change(value) {
            layout = value;
            places = LAYOUTS[layout];
            seeds = imagesOf(seeds.join(','), places.length);
            state.set({ map: layout });
            again();
        },
    });
    const seedField = seedNumber(state, seed, (value) => {
        seed = value;
        again();
    });
    const ownField = number({
        label: 'Noise u of image',
        min: 0,
        max: MOST_IMAGE,
        value: own,
        change(value) {
            own = value;
            state.set({ noise: own });
            again();
        },
    });
    const noisyBox = check({
        label: 'Noise u in the steps',
        value: noisy,
        change(on) {
            noisy = on;
            state.set({ noisy });
            again();
        },
    });
    const others = button('Other images', () => {
        const from = Math.floor(Math.random() * 1e5);
        seeds = places.map((_, i) => from + i);
        again();
    });
    root.append(
        el(
            'div',
            { class: 'two' },
            el(
                'div',
                {},
                map,
                el(
                    'p',
                    { class: 'quiet' },
                    'Drag the handle, or move it by arrow keys; click an image to go there.',
                ),
            ),
            el(
                'div',
                {},
                big,
                stage,
                words,
                command.node,
                el(
                    'div',
                    { class: 'controls' },
                    button('Pin this point', () => pins.add(at)),
                    others,
                ),
            ),
        ),
        pins.node,
        el(
            'div',
            { class: 'controls' },
            layoutField.node,
            seedField.node,
            ownField.node,
            imagesField.node,
            noisyBox.node,
        ),
    );

    /** The map's seeds anew, and all that is drawn from them. */
    function again() {
        imagesField.input.value = seeds.join(', ');
        const plain = seeds.every((image, i) => image === i);
        state.set({ images: plain ? null : seeds.join(',') });
        spots = places.map(([x, y], i) => {
            const picture = canvas(`image ${seeds[i]} of seed ${seed}`);
            const spot = el(
                'button',
                { type: 'button', class: 'spot', title: `image ${seeds[i]}`, onclick: () => moveTo(places[i]) },
                picture,
            );
            put(spot, [x, y]);
            return { spot, picture };
        });
        map.replaceChildren(...spots.map(({ spot }) => spot), handle);
        moveTo(at);
        const codes = seeds.map((_, i) => mix(seeds.map((__, j) => Number(i === j))));
        thumbs.run(async (signal) => {
            await drawInto(new Frames(), body(codes, [early]), {
                signal,
                each(frame) {
                    spots.forEach(({ picture }, i) => paint(picture, frame, i));
                },
            });
        }, page.fail);
        pins.again();
    }

    function put(node, [x, y]) {
        node.style.left = `${50 + 50 * x}%`;
        node.style.top = `${50 + 50 * y}%`;
    }

    function moveTo(point) {
        at = [round(point[0]), round(point[1])];
        state.set({ x: at[0], y: at[1] });
        put(handle, at);
        const weights = weightsAt(at, places);
        spots.forEach(({ spot }, i) => {
            spot.style.boxShadow = `0 0 0 ${(RING * weights[i]).toFixed(1)}px var(--accent)`;
        });
        words.textContent = told(weights, seeds);
        request();
    }

    /**
     * Draw the point of the handle. A request that has shown nothing yet is let be until its first state, or a long
     * drag would show nothing at all; then the newest point's turn comes, and the old request is ended.
     */
    function request() {
        if (one.busy && !shownFirst) {
            waiting = true;
            return;
        }
        waiting = false;
        shownFirst = false;
        const codes = [mix(weightsAt(at, places))];
        const frames = new Frames();
        big.setAttribute('aria-busy', 'true');
        command.set(null);
        one.run(
            async (signal) => {
                await drawInto(frames, body(codes, [early]), {
                    signal,
                    each(frame) {
                        paint(big, frame);
                        shownFirst = true;
                        stage.textContent = `k = ${frame.k} of K = ${source.steps} · f = ${short(frame.f[0])}`;
                        if (waiting) request();
                    },
                });
                if (signal.aborted) return;
                big.setAttribute('aria-busy', 'false');
                command.set(frames.done.command);
                page.fail(null);
            },
            (error) => {
                shownFirst = true;
                big.setAttribute('aria-busy', 'false');
                page.fail(error);
            },
        );
    }

    const pointOf = (event) => {
        const box = map.getBoundingClientRect();
        return [(2 * (event.clientX - box.left)) / box.width - 1, (2 * (event.clientY - box.top)) / box.height - 1];
    };
    // where the handle is held: at its middle, or where it was taken, so that a drag back ends where it began
    let hold = [0, 0];
    map.addEventListener('pointerdown', (event) => {
        if (event.button !== 0 || event.target.closest('.spot')) return;
        event.preventDefault();
        map.setPointerCapture(event.pointerId);
        const point = pointOf(event);
        hold = event.target === handle ? [at[0] - point[0], at[1] - point[1]] : [0, 0];
        handle.focus();
        moveTo([point[0] + hold[0], point[1] + hold[1]]);
    });
    map.addEventListener('pointermove', (event) => {
        if (!map.hasPointerCapture(event.pointerId)) return;
        const point = pointOf(event);
        moveTo([point[0] + hold[0], point[1] + hold[1]]);
    });
    handle.addEventListener('keydown', (event) => {
        const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
        if (!way) return;
        event.preventDefault();
        const far = event.shiftKey ? 5 * STEP : STEP;
        moveTo([at[0] + far * way[0], at[1] + far * way[1]]);
    });

    again();
    return {
        leave() {
            thumbs.stop();
            one.stop();
            pins.leave();
        },
    };
}

/** Image numbers of a text; where it has too few, the next ones that are not there yet. */
function imagesOf(words, count) {
    const given = words
        .split(/[\s,;]+/)
        .filter((part) => /^\d+$/.test(part))
        .map(Number)
        .filter((image) => image <= MOST_IMAGE);
    const all = given.slice(0, count);
    for (let next = 0; all.length < count; next += 1) {
        if (!all.includes(next)) all.push(next);
    }
    return all;
}

/** A state that is soon there and already says something: the end of the last grid but one, or half of the chain. */
function earlyState({ grids, steps }) {
    const before = grids.slice(0, -1).reduce((sum, grid) => sum + grid.steps, 0);
    return before || Math.max(1, Math.round(steps / 2));
}

function told(weights, seeds) {
    const parts = weights
        .map((weight, i) => [weight, seeds[i]])
        .filter(([weight]) => weight > 0)
        .sort((a, b) => b[0] - a[0]);
    if (parts.length === 1) return `On image ${parts[0][1]}.`;
    const named = parts.slice(0, 3).map(([weight, image]) => `${Math.round(100 * weight)} % image ${image}`);
    return `Mix: ${named.join(', ')}${parts.length > 3 ? ', …' : ''}`;
}
