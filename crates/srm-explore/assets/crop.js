// Choose the square of a picture that the net is to see.

import { canvas, el, number } from './widgets.js';

const WIDE = 320; // of the preview
const EDGE = 12; // pixels around a corner in which a drag resizes

/** A preview with a square; `changed(square)` hears of {left, top, side} in pixels of the picture once a move ends. */
export function crop(changed) {
    let bitmap = null;
    let square = { left: 0, top: 0, side: 1 };
    let drag = null;
    const view = canvas('The picture with the square that is used', { class: 'crop' });
    const field = (label, key) =>
        number({
            label,
            min: key === 'side' ? 1 : 0,
            max: 1e6,
            value: 0,
            change(value) {
                place({ ...square, [key]: value });
                changed(square);
            },
        });
    const fields = { left: field('Left', 'left'), top: field('Top', 'top'), side: field('Side', 'side') };
    const node = el(
        'div',
        { class: 'cropper' },
        el('p', { class: 'quiet' }, 'Your file; the square is used'),
        view,
        el('div', { class: 'controls' }, fields.left.node, fields.top.node, fields.side.node),
        el(
            'p',
            { class: 'quiet' },
            'Drag in the square to move it, at a corner to resize it, outside to draw another.',
        ),
    );
    node.hidden = true;

    const scale = () => view.width / bitmap.width;

    /** A square of whole pixels inside the picture. */
    function place({ left, top, side }) {
        const most = Math.min(bitmap.width, bitmap.height);
        const whole = Math.round(Math.min(Math.max(side, Math.min(4, most)), most));
        square = {
            left: Math.round(Math.min(Math.max(left, 0), bitmap.width - whole)),
            top: Math.round(Math.min(Math.max(top, 0), bitmap.height - whole)),
            side: whole,
        };
        for (const [key, { set }] of Object.entries(fields)) set(square[key]);
        draw();
    }

    function draw() {
        const pen = view.getContext('2d');
        const by = scale();
        const [x, y, side] = [square.left * by, square.top * by, square.side * by];
        pen.drawImage(bitmap, 0, 0, view.width, view.height);
        pen.fillStyle = 'rgb(0 0 0 / 0.55)';
        pen.beginPath();
        pen.rect(0, 0, view.width, view.height);
        pen.rect(x, y, side, side);
        pen.fill('evenodd');
        pen.strokeStyle = 'white';
        pen.lineWidth = 2;
        pen.strokeRect(x, y, side, side);
    }

    const pointOf = (event) => {
        const box = view.getBoundingClientRect();
        return [
            ((event.clientX - box.left) / box.width) * bitmap.width,
            ((event.clientY - box.top) / box.height) * bitmap.height,
        ];
    };

    /** What a drag from here does. */
    function grip([x, y]) {
        const near = (EDGE / view.getBoundingClientRect().width) * bitmap.width;
        const { left, top, side } = square;
        for (const [cx, cy] of [
            [0, 0],
            [1, 0],
            [0, 1],
            [1, 1],
        ]) {
            // a corner is dragged about the opposite one
            if (Math.hypot(x - left - cx * side, y - top - cy * side) < near)
                return { pivot: [left + (1 - cx) * side, top + (1 - cy) * side] };
        }
        const inside = x > left && y > top && x < left + side && y < top + side;
        return inside ? { offset: [x - left, y - top] } : { pivot: [x, y] };
    }

    view.addEventListener('pointerdown', (event) => {
        if (event.button !== 0) return;
        event.preventDefault();
        view.setPointerCapture(event.pointerId);
        drag = { ...grip(pointOf(event)), before: square };
    });
    view.addEventListener('pointermove', (event) => {
        if (!drag || !view.hasPointerCapture(event.pointerId)) return;
        const [x, y] = pointOf(event);
        if (drag.offset) return place({ ...square, left: x - drag.offset[0], top: y - drag.offset[1] });
        const [px, py] = drag.pivot;
        const room = Math.min(x < px ? px : bitmap.width - px, y < py ? py : bitmap.height - py);
        const side = Math.min(Math.max(Math.abs(x - px), Math.abs(y - py)), room);
        if (side < 2) return undefined;
        return place({ left: x < px ? px - side : px, top: y < py ? py - side : py, side });
    });
    const end = () => {
        if (!drag) return;
        const moved = JSON.stringify(drag.before) !== JSON.stringify(square);
        drag = null;
        if (moved) changed(square);
    };
    view.addEventListener('pointerup', end);
    view.addEventListener('pointercancel', end);

    return {
        node,
        get square() {
            return bitmap && square;
        },
        /** Show a file's picture with the largest square in its middle; says whether the browser can read it. */
        async load(file) {
            bitmap?.close();
            bitmap = null;
            node.hidden = true;
            try {
                bitmap = await createImageBitmap(file);
            } catch {
                return false; // the server may know more formats
            }
            const by = Math.min(WIDE / bitmap.width, WIDE / bitmap.height);
            view.width = Math.max(1, Math.round(bitmap.width * by));
            view.height = Math.max(1, Math.round(bitmap.height * by));
            const side = Math.min(bitmap.width, bitmap.height);
            place({
                left: Math.floor((bitmap.width - side) / 2),
                top: Math.floor((bitmap.height - side) / 2),
                side,
            });
            node.hidden = false;
            return true;
        },
        hide() {
            node.hidden = true;
        },
    };
}
