// What is shown, as files: PNG, NumPy's .npy and an animated GIF.

import { rgba } from './widgets.js';

const MOST_COLOURS = 256;

/** Let the browser save bytes under a name. */
export function save(name, kind, parts) {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob(parts, { type: kind }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Images side by side, pixel for pixel. */
export async function png(frame, count) {
    const sheet = document.createElement('canvas');
    sheet.width = frame.size * count;
    sheet.height = frame.size;
    const pen = sheet.getContext('2d');
    for (let i = 0; i < count; i += 1) pen.putImageData(rgba(frame, i), i * frame.size, 0);
    return new Promise((resolve) => {
        sheet.toBlob(resolve, 'image/png');
    });
}

/** An array of u8 [n, size, size, channels] in version 1.0 of the format. */
export function npy({ size, channels, pixels }) {
    const count = pixels.length / (size * size * channels);
    const about = `{'descr': '|u1', 'fortran_order': False, 'shape': (${count}, ${size}, ${size}, ${channels}), }`;
    const padded = about.padEnd(Math.ceil((about.length + 11) / 64) * 64 - 11) + '\n';
    const head = new Uint8Array([
        0x93,
        ...new TextEncoder().encode('NUMPY'),
        1,
        0,
        padded.length & 255,
        padded.length >> 8,
    ]);
    return [head, new TextEncoder().encode(padded), pixels];
}

/** At most 256 colours that stand for all: boxes of colours are halved at the median of their widest side. */
function palette(pixels) {
    const counts = new Map();
    for (let i = 0; i < pixels.length; i += 3) {
        // five bits a channel: what the eye tells apart in a small animation
        const key = ((pixels[i] >> 3) << 10) | ((pixels[i + 1] >> 3) << 5) | (pixels[i + 2] >> 3);
        counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    const parts = (key) => [(key >> 10) & 31, (key >> 5) & 31, key & 31];
    const width = (box, channel) => {
        const values = box.map((key) => parts(key)[channel]);
        return Math.max(...values) - Math.min(...values);
    };
    let boxes = [[...counts.keys()]];
    while (boxes.length < MOST_COLOURS) {
        const widest = boxes.reduce((best, box) => (box.length > (best?.length ?? 1) ? box : best), null);
        if (!widest) break;
        const channel = [0, 1, 2].reduce((best, c) => (width(widest, c) > width(widest, best) ? c : best), 0);
        widest.sort((a, b) => parts(a)[channel] - parts(b)[channel]);
        const half = widest.length >> 1;
        boxes = boxes.filter((box) => box !== widest).concat([widest.slice(0, half), widest.slice(half)]);
    }
    const index = new Map();
    const colours = boxes.map((box, place) => {
        let all = 0;
        const sums = [0, 0, 0];
        for (const key of box) {
            index.set(key, place);
            all += counts.get(key);
            parts(key).forEach((value, c) => {
                sums[c] += value * counts.get(key);
            });
        }
        return sums.map((sum) => Math.round(((sum / all) * 255) / 31));
    });
    return { colours, index };
}

/** Images as numbers of colours, and the colours: greys as they are, others by a palette. */
function indexed({ channels, pixels }) {
    if (channels === 1)
        return { colours: Array.from({ length: 256 }, (_, grey) => [grey, grey, grey]), indices: pixels };
    const { colours, index } = palette(pixels);
    const indices = new Uint8Array(pixels.length / 3);
    for (let i = 0; i < indices.length; i += 1) {
        const at = 3 * i;
        indices[i] = index.get(((pixels[at] >> 3) << 10) | ((pixels[at + 1] >> 3) << 5) | (pixels[at + 2] >> 3));
    }
    return { colours, indices };
}

/** GIF's compression (LZW), its codes packed from the lowest bit. */
function squeezed(indices) {
    const out = [];
    let [held, bits, width] = [0, 0, 9];
    const [clear, end] = [256, 257];
    const put = (code) => {
        held |= code << bits;
        for (bits += width; bits >= 8; bits -= 8) {
            out.push(held & 255);
            held >>>= 8;
        }
    };
    let next = 258;
    let known = new Map();
    put(clear);
    let prefix = indices[0];
    for (let i = 1; i < indices.length; i += 1) {
        const key = (prefix << 8) | indices[i];
        const code = known.get(key);
        if (code !== undefined) {
            prefix = code;
            continue;
        }
        put(prefix);
        if (next < 4096) {
            if (next === 1 << width) width += 1;
            known.set(key, next);
            next += 1;
        } else {
            put(clear);
            known = new Map();
            next = 258;
            width = 9;
        }
        prefix = indices[i];
    }
    put(prefix);
    put(end);
    if (bits > 0) out.push(held & 255);
    return out;
}

/** The images of a frame one after another, each `hundredths` of a second, enlarged by a whole factor. */
export function gif(frame, hundredths, scale) {
    const { size } = frame;
    const { colours, indices } = indexed(frame);
    const side = size * scale;
    const word = (value) => [value & 255, value >> 8];
    const text = (words) => [...new TextEncoder().encode(words)];
    const table = new Uint8Array(768);
    colours.forEach((rgb, i) => table.set(rgb, 3 * i));
    const parts = [
        new Uint8Array([...text('GIF89a'), ...word(side), ...word(side), 0xf7, 0, 0]),
        table,
        new Uint8Array([0x21, 0xff, 11, ...text('NETSCAPE2.0'), 3, 1, 0, 0, 0]),
    ];
    for (let from = 0; from < indices.length; from += size * size) {
        const large = new Uint8Array(side * side);
        for (let i = 0; i < large.length; i += 1) {
            large[i] = indices[from + Math.floor(i / side / scale) * size + Math.floor((i % side) / scale)];
        }
        const data = squeezed(large);
        parts.push(
            new Uint8Array([
                0x21,
                0xf9,
                4,
                0,
                ...word(hundredths),
                0,
                0,
                0x2c,
                0,
                0,
                0,
                0,
                ...word(side),
                ...word(side),
                0,
                8,
            ]),
        );
        for (let i = 0; i < data.length; i += 255) {
            const block = data.slice(i, i + 255);
            parts.push(new Uint8Array([block.length, ...block]));
        }
        parts.push(new Uint8Array([0]));
    }
    return [...parts, new Uint8Array([0x3b])];
}
