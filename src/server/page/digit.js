// What was read: the digits, their boxes, and for one of them the reasons.

import { bytes } from './api.js';
import { percent, say } from './text.js';

/** The least confidence at which a digit is said without a doubt. */
const SURE = 0.9;
/** How much of the image around a digit is shown and saved: its longer side, times this. */
const AROUND = 1.4;
/** The side of the tiles in pixels. */
const TILE = 168;
const SIDE = 28;

const $ = (id) => document.getElementById(id);

/** A new element with these attributes and children. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const shown = (digit) => (digit.digit ? String(digit.label) : say.noDigit);
const isSure = (digit) => digit.digit && digit.confidence >= SURE;
const kind = (digit) => (isSure(digit) ? '' : digit.digit ? ' unsure' : ' none');

/** The address of the ink that was found for a digit, an image. */
export const inkOf = (digit) => `data:image/png;base64,${digit.ink}`;

/** All digits of an answer of /explain, in reading order. */
export const digitsOf = (answer) => answer.lines.flatMap((line) => line.digits);

/** The text of an answer, a line a line. */
export const textOf = (answer) => answer.lines.map((line) => line.text).filter((line) => line.trim()).join('\n');

/** What there is to say of a digit, in a sentence. */
function verdict(digit) {
  if (!digit.digit) return say.notDigit(digit.guess);
  if (isSure(digit)) return say.sure(digit.label, digit.confidence);
  const rest = digit.probabilities.map((p, i) => [p, i]).filter(([, i]) => i !== digit.label);
  const [probability, other] = rest.reduce((a, b) => (b[0] > a[0] ? b : a));
  return say.unsure(digit.label, digit.confidence, other, probability);
}

/** Has one element of a group in the tab order, and the arrow keys go from one to the next. */
export function roving(group, choose) {
  group.addEventListener('keydown', (event) => {
    const all = [...group.querySelectorAll('button')];
    const at = all.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (at < 0 || to === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const next = all[Math.min(all.length - 1, Math.max(0, to))];
    next.focus();
    choose(next);
  });
}

/** The digits as buttons, with gaps where spaces are. */
function buttons(answer, chosen) {
  let at = 0;
  return answer.lines.map((line) =>
    make('div', { class: 'line' }, ...line.digits.map((digit) => {
      const button = make('button', {
        type: 'button',
        'data-at': at,
        tabindex: at === chosen ? 0 : -1,
        'aria-pressed': at === chosen,
        'aria-label': say.box(digit),
        class: `read${digit.space ? ' space' : ''}${kind(digit)}`,
      }, shown(digit));
      at += 1;
      return button;
    })),
  );
}

/** The digits of a page as text, which can be selected; a click chooses one. */
function text(answer, chosen) {
  let at = 0;
  return answer.lines.map((line) => {
    const row = make('div', { class: 'row' });
    let space = false;
    for (const digit of line.digits) {
      space ||= digit.space || !digit.digit;
      if (digit.digit) {
        if (space && row.textContent) row.append(' ');
        const mark = `${at === chosen ? 'chosen' : ''}${isSure(digit) ? '' : ' unsure'}`.trim();
        row.append(make('span', { 'data-at': at, class: mark || null }, shown(digit)));
        space = false;
      }
      at += 1;
    }
    return row;
  }).filter((row) => row.textContent);
}

/** Boxes over the image of an answer; buttons, unless only for the eye. */
function boxes(answer, chosen, { pressable }) {
  return digitsOf(answer).map((digit, at) => {
    const { x, y, width, height } = digit.box;
    const attributes = { class: `box${kind(digit)}${at === chosen ? ' chosen' : ''}`, 'data-at': at };
    const box = pressable
      ? make('button', { ...attributes, type: 'button', tabindex: at === chosen ? 0 : -1, 'aria-pressed': at === chosen, 'aria-label': say.box(digit) })
      : make('span', attributes);
    box.append(make('span', { class: 'label' }, shown(digit)));
    for (const [name, share] of [['left', x / answer.width], ['top', y / answer.height], ['width', width / answer.width], ['height', height / answer.height]]) {
      box.style.setProperty(name, `${100 * share}%`);
    }
    return box;
  });
}

/** A part of the source around a box, with paper where the image ends. */
export function crop(source, box, side) {
  const around = AROUND * Math.max(box.width, box.height);
  const canvas = make('canvas');
  canvas.width = canvas.height = side ?? Math.max(28, Math.round(around));
  const context = canvas.getContext('2d');
  context.fillStyle = '#fff';
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.scale(canvas.width / around, canvas.width / around);
  context.translate(around / 2 - box.x - box.width / 2, around / 2 - box.y - box.height / 2);
  context.save();
  source.paint?.(context);
  context.restore();
  return canvas;
}

/** Pixels of a 28×28 image on a canvas, `[red, green, blue, alpha]` of each. */
function pixels(canvas, color) {
  const context = canvas.getContext('2d');
  const image = context.createImageData(SIDE, SIDE);
  for (let at = 0; at < SIDE * SIDE; at++) image.data.set(color(at), 4 * at);
  context.putImageData(image, 0, 0);
}

/** A colour of the style sheet as its three numbers. */
const rgb = (name) => getComputedStyle(document.body).getPropertyValue(name).trim().split(/\s+/).map(Number);

/** The answer on the page, and the reasons for the digit that is chosen. */
export class Answer {
  #answer = null;
  #source = null;
  #chosen = 0;

  /** `chose(digit)` is called with the digit whose reasons are shown, or null. */
  constructor(chose) {
    this.chose = chose;
    const choose = (event) => {
      const at = event.target.closest?.('[data-at]')?.dataset.at;
      if (at !== undefined) this.choose(Number(at));
    };
    for (const id of ['digits', 'text']) $(id).addEventListener('click', choose);
    for (const id of ['digits', 'photo-boxes']) roving($(id), (button) => this.choose(Number(button.dataset.at)));
    $('bars').append(...Array.from({ length: 10 }, (_, digit) =>
      make('li', {}, make('b', {}, String(digit)), make('span', { class: 'bar', 'aria-hidden': 'true' }, make('i')), make('span', { class: 'share' }))));
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#reasons());
  }

  get digit() {
    return this.#answer ? digitsOf(this.#answer)[this.#chosen] ?? null : null;
  }

  get source() {
    return this.#source;
  }

  get text() {
    return this.#answer ? textOf(this.#answer) : '';
  }

  /** Other digits of the answer. */
  get others() {
    return digitsOf(this.#answer).filter((_, at) => at !== this.#chosen);
  }

  /**
   * Shows an answer of /explain to `source`, `{ width, height, paint }`, with the digit at `chosen`;
   * for no answer the sentence `nothing`, and `hint` below it. A page is shown as text.
   */
  show(answer, source, { chosen = 0, page = false, nothing = '', hint = '' } = {}) {
    this.#answer = answer;
    this.#source = source;
    this.#chosen = chosen;
    this.page = page;
    this.nothing = nothing;
    this.hint = hint;
    $('digits').parentElement.classList.toggle('page', page && answer !== null);
    this.#redraw();
  }

  choose(at) {
    this.#chosen = at;
    this.#redraw();
  }

  #redraw() {
    const answer = this.#answer ?? { lines: [], width: 1, height: 1 };
    const digits = digitsOf(answer);
    const focused = document.activeElement?.closest?.('#digits, #photo-boxes');
    $('digits').replaceChildren(...(this.page ? [] : buttons(answer, this.#chosen)));
    $('digits').hidden = this.page || digits.length === 0;
    $('digits').dataset.count = digits.length > 8 ? 'many' : digits.length > 3 ? 'some' : 'few';
    $('text').replaceChildren(...(this.page ? text(answer, this.#chosen) : []));
    $('text').hidden = !this.page || !this.text;
    $('draw-boxes').replaceChildren(...(this.page ? [] : boxes(answer, this.#chosen, { pressable: false })));
    $('photo-boxes').replaceChildren(...(this.page ? boxes(answer, this.#chosen, { pressable: true }) : []));
    const heights = digits.map(({ box }) => box.height).sort((a, b) => a - b);
    $('photo-boxes').style.setProperty('--high', (100 * (heights[heights.length >> 1] ?? 0)) / answer.width);
    const next = focused?.querySelector('[tabindex="0"]') ?? $(this.page ? 'another' : 'canvas');
    if (focused) next.focus({ preventScroll: true });
    $('copy').hidden = !this.text;
    $('found').textContent = this.page && digits.length > 0
      ? say.found(digits.filter((digit) => digit.digit).length, $('text').childElementCount) : '';
    this.#reasons();
  }

  #reasons() {
    const { digit } = this;
    $('verdict').textContent = digit ? verdict(digit) : this.nothing;
    $('verdict').className = digit ? (isSure(digit) ? '' : 'doubt') : 'empty';
    $('hint').textContent = digit ? '' : this.hint;
    $('bars').hidden = $('why').hidden = !digit;
    if (digit) {
      this.#bars(digit);
      this.#tiles(digit);
    }
    this.chose(digit);
  }

  #bars(digit) {
    [...$('bars').children].forEach((item, at) => {
      const probability = digit.probabilities[at];
      item.className = at === digit.guess ? 'most' : '';
      item.querySelector('i').style.setProperty('width', `${100 * probability}%`);
      item.querySelector('.share').textContent = percent(probability);
    });
  }

  #tiles(digit) {
    const given = $('given');
    given.setAttribute('aria-label', say.givenOf(digit));
    given.width = given.height = 2 * TILE;
    given.getContext('2d').drawImage(crop(this.#source, digit.box, 2 * TILE), 0, 0);
    given.classList.toggle('drawn', !this.page);
    given.closest('figure').hidden = !this.#source.paint;
    $('ink').src = inkOf(digit);
    $('ink').alt = say.inkOf;
    const seen = bytes(digit.seen);
    const evidence = new Int8Array(bytes(digit.evidence).buffer);
    const [drawn, pro, con] = [rgb('--drawn-rgb'), rgb('--for-rgb'), rgb('--against-rgb')];
    $('seen').setAttribute('aria-label', say.seenOf);
    pixels($('seen'), (at) => [...drawn, seen[at]]);
    $('evidence').setAttribute('aria-label', say.evidenceOf(digit.guess));
    // Under the colours a trace of the ink; the square root shows weak evidence as well.
    pixels($('evidence'), (at) => evidence[at] === 0
      ? [...drawn, seen[at] / 12]
      : [...(evidence[at] > 0 ? pro : con), 255 * Math.sqrt(Math.min(1, Math.abs(evidence[at]) / 127))]);
    $('evidence-title').textContent = say.evidenceTitle(digit.guess);
    $('for').textContent = say.evidenceFor(digit.guess);
    $('against').textContent = say.evidenceAgainst(digit.guess);
  }
}
