// Paint the pixels that are to be filled in.

import { button, canvas, check, el, rgba, slider } from './widgets.js';

const HIDDEN = [214, 51, 132];

/** A mask in few letters for the URL: lengths of runs, from an observed one on. */
export function packed(mask) {
    const runs = [];
    let [value, length] = [255, 0];
    for (const pixel of mask) {
        if (pixel !== value) {
            runs.push(length);
            [value, length] = [pixel, 0];
        }
        length += 1;
    }
    return runs.length ? [...runs, length].map((run) => run.toString(36)).join('.') : '';
}

/** The mask of such letters; all observed where they do not fit. */
export function unpacked(letters, count) {
    const mask = new Uint8Array(count).fill(255);
    const runs = letters.split('.').map((run) => parseInt(run, 36));
    if (!letters || runs.some((run) => !(run >= 0)) || runs.reduce((sum, run) => sum + run, 0) !== count)
        return mask;
    let at = 0;
    runs.forEach((run, i) => {
        if (i % 2) mask.fill(0, at, at + run);
        at += run;
    });
    return mask;
}

/** The target with its mask; `changed` hears of each stroke's end. */
export function painter(size, letters, changed) {
    let mask = unpacked(letters, size * size);
    let frame = null;
    let erase = false;
    let stroke = false;
    let cursor = null;
    let last = null;
    const view = canvas('Your picture. Arrow keys move the brush, Space paints.', {
        class: 'big paintable',
        tabindex: 0,
        role: 'application',
    });
    view.width = view.height = size;
    const brush = slider({
        label: 'Brush',
        min: 1,
        max: Math.max(2, Math.round(size / 3)),
        value: Math.max(2, Math.round(size / 8)),
        show: (px) => `${px} px`,
        input() {
            draw();
        },
    });
    const eraser = check({
        label: 'Erase',
        value: false,
        change(on) {
            erase = on;
        },
    });
    const all = (next) => () => {
        mask = mask.map(next);
        draw();
        changed();
    };
    const tools = el(
        'div',
        { class: 'controls' },
        brush.node,
        eraser.node,
        button(
            'Clear',
            all(() => 255),
        ),
        button(
            'Invert',
            all((value) => 255 - value),
        ),
    );

    function draw() {
        const image = frame ? rgba(frame) : new ImageData(size, size);
        for (let i = 0; i < mask.length; i += 1) {
            if (mask[i]) continue;
            const stripe = (Math.floor(i / size) + (i % size)) % 2 ? 0.75 : 0.9;
            for (let c = 0; c < 3; c += 1)
                image.data[4 * i + c] = image.data[4 * i + c] * (1 - stripe) + HIDDEN[c] * stripe;
            image.data[4 * i + 3] = 255;
        }
        const pen = view.getContext('2d');
        pen.putImageData(image, 0, 0);
        if (cursor && document.activeElement === view) {
            pen.strokeStyle = 'white';
            pen.lineWidth = Math.max(0.5, size / 64);
            pen.strokeRect(cursor[0] - brush.value / 2, cursor[1] - brush.value / 2, brush.value, brush.value);
        }
    }

    function dot([x, y]) {
        const radius = brush.value / 2;
        for (let row = Math.max(0, Math.floor(y - radius)); row <= Math.min(size - 1, y + radius); row += 1) {
            for (
                let column = Math.max(0, Math.floor(x - radius));
                column <= Math.min(size - 1, x + radius);
                column += 1
            ) {
                // the pixel under the point is always of the stroke, however fine the brush
                const under = row === Math.floor(y) && column === Math.floor(x);
                if (under || Math.hypot(column + 0.5 - x, row + 0.5 - y) <= radius)
                    mask[row * size + column] = erase ? 255 : 0;
            }
        }
    }

    /** Dots close enough to make a line. */
    function line(from, to) {
        const steps = Math.ceil(Math.hypot(to[0] - from[0], to[1] - from[1]) * 2) || 1;
        for (let i = 0; i <= steps; i += 1)
            dot([from[0] + ((to[0] - from[0]) * i) / steps, from[1] + ((to[1] - from[1]) * i) / steps]);
        draw();
    }

    const pointOf = (event) => {
        const box = view.getBoundingClientRect();
        return [((event.clientX - box.left) / box.width) * size, ((event.clientY - box.top) / box.height) * size];
    };
    view.addEventListener('pointerdown', (event) => {
        if (event.button !== 0) return;
        view.setPointerCapture(event.pointerId);
        stroke = true;
        cursor = null;
        last = pointOf(event);
        line(last, last);
    });
    view.addEventListener('pointermove', (event) => {
        if (!stroke) return;
        const next = pointOf(event);
        line(last, next);
        last = next;
    });
    const end = () => {
        if (stroke) changed();
        stroke = false;
    };
    view.addEventListener('pointerup', end);
    view.addEventListener('pointercancel', end);
    view.addEventListener('blur', draw);
    view.addEventListener('keydown', (event) => {
        const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
        if (!way && event.key !== ' ') return;
        event.preventDefault();
        cursor ??= [size / 2, size / 2];
        if (way)
            cursor = cursor.map((value, i) =>
                Math.min(Math.max(value + way[i] * (event.shiftKey ? 4 : 1), 0.5), size - 0.5),
            );
        else {
            dot(cursor);
            changed();
        }
        draw();
    });

    return {
        view,
        tools,
        show(next) {
            frame = next;
            draw();
        },
        get letters() {
            return packed(mask);
        },
        get mask() {
            return mask;
        },
        get hidden() {
            return mask.reduce((count, value) => count + (value ? 0 : 1), 0);
        },
    };
}
