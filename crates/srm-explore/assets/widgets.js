// Small parts that all views use: elements, fields, pictures, the bar with the command.

let numbered = 0;

/** An element; `on…` attributes are listeners, null and false leave an attribute out. */
export function el(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
        if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
        else if (value === true) node.setAttribute(key, '');
        else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
}

export const button = (text, onclick, attributes = {}) =>
    el('button', { type: 'button', onclick, ...attributes }, text);

const labelled = (text, input, ...more) => {
    input.id ||= `field-${(numbered += 1)}`;
    return el('div', { class: 'field' }, el('label', { for: input.id }, text), input, ...more);
};

/** A slider with its value in words; `show` makes the words. */
export function slider({ label, min = 0, max, step = 1, value, show = String, input }) {
    const range = el('input', { type: 'range', min, max, step });
    const output = el('output', { 'aria-live': 'off' }); // the slider says its words itself
    const node = labelled(label, range, output);
    output.setAttribute('for', range.id);
    const tell = () => {
        const words = show(Number(range.value));
        output.textContent = words;
        range.setAttribute('aria-valuetext', words);
    };
    range.value = value;
    tell();
    range.addEventListener('input', () => {
        tell();
        input(Number(range.value));
    });
    return {
        node,
        range,
        tell,
        get value() {
            return Number(range.value);
        },
        set(next, most = range.max) {
            range.max = most;
            range.value = next;
            tell();
        },
    };
}

/** A whole or real number typed in; what is none is put back. */
export function number({ label, min, max, step = 1, value, change }) {
    const input = el('input', { type: 'number', min, max, step, value, inputmode: 'decimal' });
    let last = value;
    input.addEventListener('change', () => {
        const typed = input.value.trim() === '' ? NaN : Number(input.value);
        const fits = Number.isFinite(typed);
        last = fits ? Math.min(Math.max(step === 1 ? Math.round(typed) : typed, min), max) : last;
        input.value = last;
        if (fits) change(last);
    });
    return {
        node: labelled(label, input),
        input,
        set(next) {
            last = next;
            input.value = next;
        },
    };
}

/** The seed of a view, kept in the URL. */
export const seedNumber = (state, value, change) =>
    number({
        label: 'Seed',
        min: 0,
        max: 2 ** 53,
        value,
        change(seed) {
            state.set({ seed });
            change(seed);
        },
    });

export function check({ label, value, change }) {
    const input = el('input', { type: 'checkbox', id: `field-${(numbered += 1)}` });
    input.checked = value;
    input.addEventListener('change', () => change(input.checked));
    return { node: el('div', { class: 'check' }, input, el('label', { for: input.id }, label)), input };
}

/** A choice among [value, words] pairs. */
export function select({ label, options, value, change }) {
    const input = el('select', { onchange: () => change(input.value) });
    const fill = (pairs, chosen) => {
        input.replaceChildren(...pairs.map(([key, words]) => el('option', { value: key }, words)));
        input.value = chosen;
    };
    fill(options, value);
    return { node: labelled(label, input), input, fill };
}

export function text({ label, value, change }) {
    const input = el('input', { type: 'text', value, spellcheck: 'false', autocomplete: 'off' });
    input.addEventListener('change', () => change(input.value));
    return { node: labelled(label, input), input };
}

/** An empty picture of the net's output. */
export const canvas = (label, attributes = {}) =>
    el('canvas', { width: 1, height: 1, role: 'img', 'aria-label': label, ...attributes });

/** Image `index` of a frame as RGBA. */
export function rgba({ size, channels, pixels }, index = 0) {
    const image = new ImageData(size, size);
    const all = size * size;
    let from = index * all * channels;
    for (let i = 0; i < all; i += 1, from += channels) {
        image.data[4 * i] = pixels[from];
        image.data[4 * i + 1] = pixels[channels === 3 ? from + 1 : from];
        image.data[4 * i + 2] = pixels[channels === 3 ? from + 2 : from];
        image.data[4 * i + 3] = 255;
    }
    return image;
}

/** Put image `index` of a frame on a canvas. */
export function paint(target, frame, index = 0) {
    if (target.width !== frame.size) target.width = target.height = frame.size;
    target.getContext('2d').putImageData(rgba(frame, index), 0, 0);
}

/** How many images a frame holds. */
export const images = ({ size, channels, pixels }) => pixels.length / (size * size * channels);

async function toClipboard(words) {
    try {
        await navigator.clipboard.writeText(words);
        return true;
    } catch {
        return false; // only pages of this machine or https may write to the clipboard
    }
}

/**
 * The command that draws what is shown, with a button that copies it. `ask` is for one that the server has not said
 * yet: it is asked for when somebody wants to copy it.
 */
export function commandBar(page, label = 'Copy as command') {
    let wanted = null;
    const code = el('code', { tabindex: 0 });
    const copy = button(label, async () => {
        const asked = wanted;
        if (asked) {
            page.say('Asking for the command …');
            const command = await asked().catch((error) => page.fail(error));
            if (asked !== wanted || !command) return;
            wanted = null;
            code.textContent = command;
        }
        if (await toClipboard(code.textContent)) page.say('The command is on the clipboard.');
        else {
            getSelection().selectAllChildren(code);
            page.say('The command is selected: copy it with Ctrl-C.');
        }
    });
    const node = el('div', { class: 'command' }, copy, code);
    node.hidden = true;
    return {
        node,
        set(command) {
            wanted = null;
            code.textContent = command ?? '';
            node.hidden = !command;
        },
        ask(words, command) {
            wanted = command;
            code.textContent = words;
            node.hidden = false;
        },
    };
}

/** A number in few digits. */
export function short(value) {
    if (!Number.isFinite(value)) return '–';
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
    return String(Number(value.toPrecision(4)));
}

export const stillMotion = () => matchMedia('(prefers-reduced-motion: reduce)').matches;

/** Say that there is nothing to draw from yet. */
export function nothingYet(root, source) {
    const words = source.note ?? 'no checkpoint yet';
    root.append(el('p', { class: 'empty' }, `${source.name}: ${words}. This view draws as soon as there is one.`));
}
