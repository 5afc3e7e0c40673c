// Pins on the latent plane, and the walk from one to the next.

import { Latest } from './api.js';
import { gif, npy, png, save } from './files.js';
import { Frames, drawInto } from './frames.js';
import { button, canvas, commandBar, el, images, number, paint, stillMotion } from './widgets.js';

const MOST_PINS = 24;
const MOST_IMAGES = 256;
const FRAME_MS = 120;

/** Pins of the URL: `x:y,x:y`. */
function read(text) {
    const points = text.split(',').map((part) => part.split(':').map(Number));
    return points
        .filter((point) => point.length === 2 && point.every((value) => Math.abs(value) <= 1))
        .slice(0, MOST_PINS);
}

/** Weights from pin to pin, `between` images on each way, the pins themselves among them. */
export function way(pins, between) {
    const all = [];
    for (let i = 0; i + 1 < pins.length; i += 1) {
        for (let j = 0; j < between; j += 1) {
            const part = j / between;
            all.push(
                pins[i].map((weight, place) =>
                    Number(((1 - part) * weight + part * pins[i + 1][place]).toFixed(4)),
                ),
            );
        }
    }
    all.push(pins.at(-1));
    return all;
}

/** `plane` says how points become codes: body, mix, weights, goTo. */
export function walk(page, plane) {
    const { state } = page;
    let points = read(state.text('pins'));
    let between = state.integer('between', 8, 1, 64);
    let walked = null;
    let timer = 0;
    let step = 0;
    const thumbs = new Latest();
    const row = new Latest();

    const list = el('div', { class: 'pins' });
    const strip = el('div', { class: 'strip', tabindex: 0, role: 'group', 'aria-label': 'The walk' });
    const film = canvas('the walk, one image after another', { class: 'film' });
    const command = commandBar(page);
    const about = el('p', { class: 'quiet' });
    const betweenField = number({
        label: 'Images from pin to pin',
        min: 1,
        max: 64,
        value: between,
        change(value) {
            between = value;
            state.set({ between });
        },
    });
    const start = button('Walk between the pins', go);
    const playButton = button('Play', () => (timer ? stop() : play()));
    const name = () => `walk-${walked.size}px`;
    const saves = el(
        'div',
        { class: 'controls' },
        playButton,
        button('Save as PNG', async () => save(`${name()}.png`, 'image/png', [await png(walked, images(walked))])),
        button('Save as GIF', () => {
            save(
                `${name()}.gif`,
                'image/gif',
                gif(walked, FRAME_MS / 10, Math.max(1, Math.round(128 / walked.size))),
            );
        }),
        button('Save as .npy', () => save(`${name()}.npy`, 'application/octet-stream', npy(walked))),
    );
    const result = el('div', { class: 'walked' }, film, el('div', {}, strip, about, command.node, saves));
    const node = el(
        'section',
        { class: 'card' },
        el('h2', {}, 'Pins and the walk between them'),
        list,
        el('div', { class: 'controls' }, betweenField.node, start),
        result,
    );

    function remember() {
        state.set({ pins: points.map((point) => point.join(':')).join(',') || null });
    }

    function lay() {
        start.disabled = points.length < 2;
        if (!points.length) {
            list.replaceChildren(
                el(
                    'p',
                    { class: 'quiet' },
                    'No pin yet: move the handle and press “Pin this point”; two make a walk.',
                ),
            );
            return [];
        }
        const pictures = points.map((point, i) => canvas(`pin ${i + 1}`));
        list.replaceChildren(
            ...points.map((point, i) =>
                el(
                    'div',
                    { class: 'pin' },
                    el(
                        'button',
                        {
                            type: 'button',
                            title: 'Move the handle here',
                            'aria-label': `Go to pin ${i + 1}`,
                            onclick: () => plane.goTo(point),
                        },
                        pictures[i],
                    ),
                    button('×', () => drop(i), { 'aria-label': `Take pin ${i + 1} away`, class: 'small' }),
                ),
            ),
        );
        return pictures;
    }

    function draw() {
        const pictures = lay();
        if (!pictures.length) return thumbs.stop();
        return thumbs.run(async (signal) => {
            const codes = points.map((point) => plane.mix(plane.weights(point)));
            await drawInto(new Frames(), plane.body(codes, 'end'), {
                signal,
                each(frame) {
                    pictures.forEach((picture, i) => paint(picture, frame, i));
                },
            });
        }, page.fail);
    }

    function forget() {
        stop();
        row.stop();
        walked = null;
        result.hidden = true;
    }

    function drop(index) {
        points = points.filter((_, i) => i !== index);
        remember();
        forget();
        draw();
        (list.querySelector('button') ?? start).focus();
    }

    function go() {
        forget();
        let codes = way(points.map(plane.weights), between);
        if (codes.length > MOST_IMAGES) {
            codes = codes.slice(0, MOST_IMAGES);
            page.say(`The walk stops after ${MOST_IMAGES} images.`);
        }
        start.disabled = true;
        page.say('Walking …');
        const pictures = codes.map((_, i) => canvas(`image ${i + 1} of the walk`));
        return row
            .run(async (signal) => {
                const frames = await drawInto(new Frames(), plane.body(codes.map(plane.mix), 'end'), {
                    signal,
                    each(frame) {
                        pictures.forEach((picture, i) => paint(picture, frame, i));
                    },
                });
                walked = frames.all.at(-1);
                strip.replaceChildren(...pictures);
                about.textContent = `${codes.length} images`;
                command.set(frames.done.command);
                result.hidden = false;
                step = 0;
                paint(film, walked, 0);
                page.say(`The walk is there: ${codes.length} images.`);
                if (!stillMotion()) play();
            }, page.fail)
            .finally(() => {
                start.disabled = points.length < 2;
            });
    }

    function play() {
        stop();
        playButton.textContent = 'Stop';
        timer = setInterval(() => {
            const count = images(walked);
            // there and back again
            step = (step + 1) % Math.max(1, 2 * count - 2);
            paint(film, walked, step < count ? step : 2 * count - 2 - step);
        }, FRAME_MS);
    }

    function stop() {
        clearInterval(timer);
        timer = 0;
        playButton.textContent = 'Play';
    }

    result.hidden = true;
    return {
        node,
        add(point) {
            if (points.length >= MOST_PINS) return page.say(`At most ${MOST_PINS} pins.`);
            points = [...points, [...point]];
            remember();
            forget();
            return draw();
        },
        /** The seeds are others: so are the pins' pictures. */
        again() {
            forget();
            draw();
        },
        leave() {
            stop();
            thumbs.stop();
            row.stop();
        },
    };
}
