// Your picture: bring one, crop it, hide parts of it, and watch z being found whose chain ends at it.

import { Latest, getPicture, reconstruct, sendMask, sendPicture } from './api.js';
import { chart, colour } from './chart.js';
import { crop } from './crop.js';
import { painter } from './mask.js';
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
    slider,
} from './widgets.js';

const LATENTS = [
    ['free', 'free: any z'],
    ['support', 'support: z within the start’s law'],
    ['grids', 'grids: the noise of each grid'],
];
// as the server has them
const MOST_ITERATIONS = 10_000;
const MOST_STARTS = 16;
const KEPT = 'srm explore picture';

/** Noise levels of the slider: fine where it matters. */
const noiseOf = (place) => Number((0.01 * 100 ** (place / 100)).toPrecision(2));
const placeOf = (noise) => Math.round(50 * Math.log10(noise / 0.01));

export function mount(root, page) {
    const { source, state, update } = page;
    if (source.newest === null && source.kind === 'run') {
        nothingYet(root, source);
        return {};
    }
    const sending = new Latest();
    const working = new Latest();
    let file = null;
    let picture = null;
    let iterates = [];
    let follows = true; // the slider of iterates goes along with the newest
    let iterations = state.integer('iterations', 200, 1, MOST_ITERATIONS);
    let starts = state.integer('starts', 1, 1, MOST_STARTS);
    let seed = state.integer('seed', 1, 0, 2 ** 53);
    const ladder = source.grids.length > 1;
    const latents = ladder ? LATENTS : LATENTS.filter(([name]) => name !== 'grids');
    let latent = latents.some(([name]) => name === state.text('latent'))
        ? state.text('latent')
        : ladder
          ? 'grids'
          : 'free';
    let noise = state.number('noise', 0, 0, 1);

    const input = el('input', {
        type: 'file',
        accept: 'image/*',
        class: 'file',
        id: 'picture-file',
        onchange: () => take(input.files[0]),
    });
    const drop = el(
        'div',
        { class: 'drop' },
        el('label', { for: 'picture-file' }, 'Drop a picture here, paste one, or choose a file: '),
        input,
    );
    const cropper = crop((square) => send(square));
    const canvasOf = painter(source.size, state.text('mask'), () => {
        state.set({ mask: canvasOf.letters || null });
        tell();
    });
    const now = canvas('the reconstruction so far', { class: 'big' });
    const stage = el('p', { class: 'quiet' });
    const hidden = el('p', { class: 'quiet' });
    const scrub = slider({
        label: 'Iterate',
        min: 0,
        max: 0,
        value: 0,
        show: (i) => (iterates[i] ? `iteration ${iterates[i].iteration}` : '–'),
        input(i) {
            follows = i === iterates.length - 1;
            showIterate();
        },
    });
    scrub.node.hidden = true;
    const command = commandBar(page);
    const curve = chart({
        title: 'Mean squared error over the iterations (log scale)',
        data: [[], []],
        log: true,
        legend: false,
        height: 160,
        series: [{ label: 'mse', stroke: colour(0), width: 2 }],
        marks: () => (iterates[scrub.value] ? [{ x: iterates[scrub.value].iteration, kind: 'now' }] : []),
    });
    const iterationsField = number({
        label: 'Iterations',
        min: 1,
        max: MOST_ITERATIONS,
        value: iterations,
        change(value) {
            iterations = value;
            state.set({ iterations });
            tell();
        },
    });
    const startsField = number({
        label: 'Starts',
        min: 1,
        max: MOST_STARTS,
        value: starts,
        change(value) {
            starts = value;
            state.set({ starts });
        },
    });
    const seedField = seedNumber(state, seed, (value) => {
        seed = value;
    });
    const latentField = select({
        label: 'Latent',
        options: latents,
        value: latent,
        change(value) {
            latent = value;
            state.set({ latent });
        },
    });
    const noiseSlider = slider({
        label: 'Noise in the picture',
        min: 0,
        max: 100,
        value: noise > 0 ? placeOf(noise) : placeOf(0.2),
        show: (at) => `σ = ${noiseOf(at)}`,
        input(at) {
            noise = noiseOf(at);
            state.set({ noise });
        },
    });
    const noiseBox = check({
        label: 'The picture is noisy: take the noise off',
        value: noise > 0,
        change(on) {
            noise = on ? noiseOf(noiseSlider.value) : 0;
            noiseSlider.range.disabled = !on;
            state.set({ noise: noise || null });
        },
    });
    noiseSlider.range.disabled = noise === 0;
    const startButton = button('Start', () => begin(), { class: 'main' });
    const stopButton = button('Stop', () => {
        working.stop();
        rest('Stopped.');
    });
    const resetButton = button('Reset', reset);
    const onButton = button('', () => {
        iterations = Math.min(MOST_ITERATIONS, 2 * iterations);
        iterationsField.set(iterations);
        state.set({ iterations });
        begin();
    });
    const target = el(
        'figure',
        {},
        el('figcaption', {}, 'Target; paint what is to be filled in'),
        canvasOf.view,
        canvasOf.tools,
        hidden,
    );
    const result = el('figure', {}, el('figcaption', {}, 'Its reconstruction'), now, scrub.node, stage);
    const bench = el(
        'div',
        {},
        el(
            'div',
            { class: 'controls' },
            noiseBox.node,
            noiseSlider.node,
            latentField.node,
            iterationsField.node,
            startsField.node,
            seedField.node,
        ),
        el('div', { class: 'controls' }, startButton, stopButton, onButton, resetButton),
        command.node,
        curve.node,
    );
    root.append(drop, el('div', { class: 'bench' }, cropper.node, target, result), bench);

    /** A file from wherever it came. */
    async function take(chosen) {
        if (!chosen) return;
        file = chosen;
        reset();
        const readable = await cropper.load(file);
        if (!readable) page.say('This browser cannot show the file; srm takes its largest square in the middle.');
        send(cropper.square);
    }

    function send(square) {
        working.stop();
        return sending.run(async (signal) => {
            use(await sendPicture(source.id, square, file, signal));
            page.fail(null);
        }, page.fail);
    }

    function use(told) {
        picture = told.picture;
        canvasOf.show(told);
        state.set({ picture });
        try {
            const pixels = Array.from(told.pixels);
            sessionStorage.setItem(KEPT, JSON.stringify({ ...told, pixels }));
        } catch {
            /* no room: a reload then asks the server */
        }
        forget();
        tell();
    }

    /** The picture of the URL: from this tab's store, else from the server. */
    function bringBack(name) {
        const told = JSON.parse(sessionStorage.getItem(KEPT) ?? '{}');
        if (told.picture === name && told.size === source.size && told.channels === source.channels) {
            return use({ ...told, pixels: Uint8Array.from(told.pixels) });
        }
        return sending.run(
            async (signal) => use(await getPicture(name, source.id, signal)),
            () => {
                state.set({ picture: null });
                page.say('The picture of this URL is no longer here: bring it once more.');
            },
        );
    }

    function tell() {
        for (const part of [target, result, bench]) part.hidden = !picture;
        const count = canvasOf.hidden;
        const all = source.size ** 2;
        hidden.textContent = count ? `${count} of ${all} pixels are to be filled in.` : 'Nothing is hidden.';
        const busy = working.busy;
        startButton.disabled = busy || count === all;
        stopButton.disabled = !busy;
        onButton.disabled = busy || !iterates.length;
        onButton.textContent = `Start again with ${Math.min(MOST_ITERATIONS, 2 * iterations)} iterations`;
        onButton.title = 'A reconstruction keeps no state: to go on is to start again with more iterations';
    }

    function forget() {
        working.stop();
        iterates = [];
        follows = true;
        scrub.node.hidden = true;
        stage.textContent = '';
        command.set(null);
        now.width = now.height = 1;
        curve.set([[], []]);
    }

    function reset() {
        forget();
        page.say('');
        tell();
    }

    function begin() {
        forget();
        page.fail(null);
        const started = performance.now();
        working
            .run(
                async (signal) => {
                    tell();
                    page.say('Reconstructing …');
                    const mask = canvasOf.hidden ? (await sendMask(source.id, canvasOf.mask, signal)).mask : null;
                    const done = await reconstruct(
                        {
                            source: source.id,
                            update,
                            picture,
                            mask,
                            observed_noise: noise || null,
                            iterations,
                            starts,
                            latent,
                            seed,
                        },
                        { signal, each: hear },
                    );
                    command.set(done.command);
                    const best = iterates.findIndex(({ iteration }) => iteration === done.best_iteration);
                    if (best >= 0 && follows) {
                        follows = false;
                        scrub.set(best);
                        showIterate();
                    }
                    const seconds = done.seconds ?? (performance.now() - started) / 1000;
                    const found = `the best is iteration ${done.best_iteration}, mean squared error ${short(done.mse)}`;
                    rest(`Done in ${seconds.toFixed(1)} s; ${found}.`);
                },
                (error) => {
                    page.fail(error);
                    rest('');
                },
            )
            .then(tell);
        tell();
    }

    function rest(words) {
        page.say(words);
        tell();
    }

    function hear(iterate) {
        iterates.push(iterate);
        scrub.node.hidden = false;
        scrub.set(follows ? iterates.length - 1 : scrub.value, iterates.length - 1);
        showIterate();
        curve.set([iterates.map(({ iteration }) => iteration), iterates.map(({ mse }) => (mse > 0 ? mse : null))]);
    }

    function showIterate() {
        const iterate = iterates[scrub.value];
        if (!iterate) return;
        paint(now, iterate);
        stage.textContent = `iteration ${iterate.iteration} · mean squared error ${short(iterate.mse)}`;
        curve.plot.redraw(false);
    }

    const onPaste = (event) => {
        const pasted = [...event.clipboardData.files].find(({ type }) => type.startsWith('image/'));
        if (pasted) take(pasted);
    };
    const onDrag = (event) => {
        event.preventDefault();
        drop.classList.toggle('over', event.type === 'dragover');
        if (event.type === 'drop') take(event.dataTransfer.files[0]);
    };
    document.addEventListener('paste', onPaste);
    for (const kind of ['dragover', 'dragleave', 'drop']) document.addEventListener(kind, onDrag);
    tell();
    const named = state.text('picture');
    if (/^picture-[\w-]+$/.test(named)) bringBack(named);
    return {
        leave() {
            document.removeEventListener('paste', onPaste);
            for (const kind of ['dragover', 'dragleave', 'drop']) document.removeEventListener(kind, onDrag);
            sending.stop();
            working.stop();
            curve.destroy();
        },
    };
}
