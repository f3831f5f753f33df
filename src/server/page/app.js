// The page: what was drawn or photographed goes to the program, and what it read is shown.

import { Failure, collect, explain, returned, weights } from './api.js';
import { Drawing, around, picture } from './draw.js';
import { Answer, crop, digitsOf, inkOf } from './digit.js';
import { Camera, blobOf, listen, prepare } from './photo.js';
import { page, say } from './text.js';
import { Weights } from './weights.js';

/** The least time between two questions while one draws, in milliseconds. */
const PACE = 100;
/** How far beside a box one may press, in pixels. */
const FINGER = 24;

const $ = (id) => document.getElementById(id);
const announce = (sentence) => ($('live').textContent = sentence);
/** Moves the keyboard's focus to an element where what has it is no longer shown. */
function refocus(id) {
  const at = document.activeElement;
  if (at && at !== document.body && at.getClientRects().length === 0) $(id).focus({ preventScroll: true });
}
/** How many answers are on their way. */
let waiting = 0;
function wait(change) {
  waiting += change;
  $('answer').setAttribute('aria-busy', waiting > 0);
}

for (const element of document.querySelectorAll('[data-text]')) element.textContent = page[element.dataset.text];
for (const element of document.querySelectorAll('[data-label]')) element.setAttribute('aria-label', page[element.dataset.label]);

const answer = new Answer(chose);
const used = new Weights(() => {
  draw.ask();
  photo.ask();
});

/** What is asked again once the program answers again. */
const pending = new Set();

/** Shows an error; where nothing answers, waits until something does and asks `again`. */
function fail(error, again) {
  if (error.name === 'AbortError') return;
  if (!(error instanceof Failure)) throw error;
  $('notice').textContent = error.message;
  $('notice').hidden = false;
  if (!error.away || !again) return;
  pending.add(again);
  if (pending.size > 1) return;
  returned().then(async () => {
    settle();
    const all = [...pending];
    pending.clear();
    // Started anew, the program may have other weights.
    await load();
    for (const each of all) if (each !== load) each();
  });
}

const settle = () => ($('notice').hidden = true);

/** The drawing and its questions: one at a time, at most ten a second, and always one after the last change. */
const draw = {
  drawing: null,
  last: null,
  asked: 0,
  due: false,
  busy: false,
  spoken: false,
  again: () => draw.ask(),

  start() {
    const changed = ({ done }) => {
      this.spoken ||= done;
      this.tools();
      this.ask();
    };
    const pen = (down) => announce(down ? say.penDown : say.penUp);
    this.drawing = new Drawing($('canvas'), { changed, pen });
    const { drawing } = this;
    $('undo').addEventListener('click', () => drawing.undo());
    $('redo').addEventListener('click', () => drawing.redo());
    $('clear').addEventListener('click', () => drawing.clear());
    const brush = () => (drawing.brush = Number($('brush').value));
    $('brush').addEventListener('input', brush);
    brush();
    addEventListener('keydown', (event) => {
      if (!(event.ctrlKey || event.metaKey) || photo.isShown || $('weights').open) return;
      const key = event.key.toLowerCase();
      if (key === 'y' || (key === 'z' && event.shiftKey)) drawing.redo();
      else if (key === 'z') drawing.undo();
      else return;
      event.preventDefault();
    });
    this.tools();
    this.show();
  },

  tools() {
    const { drawing } = this;
    $('undo').setAttribute('aria-disabled', !drawing.canUndo);
    $('redo').setAttribute('aria-disabled', !drawing.canRedo);
    $('clear').setAttribute('aria-disabled', drawing.isEmpty);
    $('invite').hidden = !drawing.isEmpty;
  },

  async ask() {
    this.due = true;
    if (this.busy) return;
    this.busy = true;
    wait(1);
    try {
      while (this.due) {
        // While the program is away, it is asked once it is back.
        if (pending.size > 0 && !this.drawing.isEmpty) {
          pending.add(this.again);
          break;
        }
        this.due = false;
        await this.question().catch((error) => fail(error, this.again));
        const rest = PACE - (performance.now() - this.asked);
        if (rest > 0) await new Promise((resolve) => setTimeout(resolve, rest));
      }
    } finally {
      this.busy = false;
      wait(-1);
    }
  },

  async question() {
    const { strokes } = this.drawing;
    if (strokes.length === 0) {
      this.last = null;
    } else {
      const source = picture(strokes);
      const { x, y, width, height } = around(strokes);
      const canvas = Object.assign(document.createElement('canvas'), { width, height });
      const context = canvas.getContext('2d');
      context.translate(-x, -y);
      source.paint(context);
      const image = await blobOf(canvas);
      this.asked = performance.now();
      const read = await explain(image, used.name);
      settle();
      Object.assign(read, { width: source.width, height: source.height });
      for (const { box } of digitsOf(read)) Object.assign(box, { x: box.x + x, y: box.y + y });
      this.last = { read, source, chosen: written(read, strokes.at(-1)) };
    }
    // Cleared meanwhile: the next round says so.
    if (this.due && this.drawing.isEmpty) return;
    if (!photo.isShown) this.show();
    if (!this.spoken || this.due) return;
    this.spoken = false;
    announce(this.last ? say.read(spoken(this.last.read)) : say.cleared);
  },

  show() {
    const { read = null, source = null, chosen = 0 } = this.last ?? {};
    answer.show(read, source, { chosen, nothing: read ? say.nothingFound : say.nothingDrawn, hint: read ? '' : say.nothingDrawnHint });
  },
};

/** An answer in a sentence for screen readers. */
const spoken = (read) => digitsOf(read).map(say.box).join('; ');

/** Which digit the last stroke wrote: the one in the middle of whose box it is nearest. */
function written(read, stroke) {
  const middle = (values) => (Math.min(...values) + Math.max(...values)) / 2;
  const [x, y] = [middle(stroke.map((point) => point[0])), middle(stroke.map((point) => point[1]))];
  const far = ({ box }) => Math.hypot(box.x + box.width / 2 - x, box.y + box.height / 2 - y);
  const distances = digitsOf(read).map(far);
  return Math.max(0, distances.indexOf(Math.min(...distances)));
}

/** The photograph and the ways to one. */
const photo = {
  image: null,
  last: null,
  /** How many images were given. */
  count: 0,
  abort: null,
  url: null,
  camera: new Camera($('video')),
  again: () => photo.ask(),

  get isShown() {
    return $('tab-photo').getAttribute('aria-selected') === 'true';
  },

  start() {
    listen([$('choose'), $('take')], (file, how) => this.given(file, how));
    $('camera-start').hidden = !Camera.isThere;
    $('camera-start').addEventListener('click', () => this.look());
    $('shoot').addEventListener('click', async () => this.given(await this.camera.shoot(), 'camera'));
    $('cancel').addEventListener('click', () => {
      this.closeCamera();
      refocus('camera-start');
    });
    $('sheet').addEventListener('click', (event) => this.point(event));
    $('another').addEventListener('click', () => {
      this.abort?.abort();
      this.count += 1;
      this.image = this.last = null;
      $('page').hidden = true;
      $('drop').hidden = false;
      this.show();
      $('choose').focus();
    });
  },

  async look() {
    $('drop').hidden = true;
    $('camera').hidden = false;
    $('shoot').disabled = true;
    $('cancel').focus();
    try {
      if (!(await this.camera.start())) return;
      $('shoot').disabled = false;
      if (document.activeElement === $('cancel')) $('shoot').focus();
      settle();
    } catch {
      this.closeCamera();
      refocus('camera-start');
      fail(new Failure(say.noCamera));
    }
  },

  closeCamera() {
    this.camera.stop();
    $('camera').hidden = true;
    $('drop').hidden = Boolean(this.image);
  },

  async given(file, how) {
    show('photo');
    const count = (this.count += 1);
    const image = await prepare(file).catch((error) => fail(error));
    // Another came meanwhile, which took less time.
    if (count !== this.count) return;
    this.closeCamera();
    refocus('camera-start');
    if (!image) return;
    settle();
    const name = how === 'pasted' ? say.pasted : (file.name ?? say.photo);
    this.image = { ...image, name };
    this.last = null;
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = image.bitmap ? URL.createObjectURL(image.blob) : null;
    $('drop').hidden = true;
    $('page').hidden = false;
    $('page-image').hidden = !this.url;
    $('unshown').hidden = Boolean(this.url);
    if (this.url) $('page-image').src = this.url;
    $('page-image').alt = say.page(name);
    refocus('another');
    this.show();
    await this.ask();
  },

  async ask() {
    if (!this.image) return;
    const { blob, bitmap } = this.image;
    this.abort?.abort();
    const abort = (this.abort = new AbortController());
    $('sheet').classList.add('busy');
    wait(1);
    if (this.isShown) {
      announce(say.reading);
      answer.show(null, null, { page: true, nothing: say.reading });
    }
    try {
      const read = await explain(blob, used.name, abort.signal);
      settle();
      const paint = bitmap && ((context) => context.drawImage(bitmap, 0, 0, read.width, read.height));
      this.last = { read, source: { width: read.width, height: read.height, paint } };
      $('sheet').style.setProperty('aspect-ratio', `${read.width} / ${read.height}`);
      if (this.isShown) announce(say.read(read.lines.map((line) => line.text).join('; ')));
    } catch (error) {
      // One that was given up says nothing of the one in its place.
      if (this.abort === abort) this.last = null;
      fail(error, this.again);
    } finally {
      wait(-1);
      if (this.abort === abort) {
        $('sheet').classList.remove('busy');
        if (this.isShown) this.show();
      }
    }
  },

  /** Chooses the digit that a finger meant: its box, or the nearest. */
  point({ target, clientX, clientY }) {
    if (!this.last) return;
    const distance = (box) => {
      const at = box.getBoundingClientRect();
      return Math.hypot(
        Math.max(at.left - clientX, 0, clientX - at.right),
        Math.max(at.top - clientY, 0, clientY - at.bottom),
      );
    };
    let box = target.closest('.box');
    if (!box) {
      const all = [...$('photo-boxes').children];
      box = all.reduce((a, b) => (distance(b) < distance(a) ? b : a), all[0]);
      if (!box || distance(box) > FINGER) return;
    }
    answer.choose(Number(box.dataset.at));
    $('verdict').scrollIntoView({ block: 'nearest' });
  },

  show() {
    const { read = null, source = null } = this.last ?? {};
    const chosen = read ? Math.max(0, digitsOf(read).findIndex((digit) => digit.digit)) : 0;
    answer.show(read, source, {
      chosen,
      page: true,
      nothing: read ? say.nothingFound : this.image ? '' : say.nothingGiven,
      hint: read ? say.nothingFoundHint : this.image ? '' : say.nothingGivenHint,
    });
  },
};

/** Shows one of the two ways, `draw` or `photo`. */
function show(way) {
  if (way === 'draw') photo.closeCamera();
  for (const each of ['draw', 'photo']) {
    const tab = $(`tab-${each}`);
    tab.setAttribute('aria-selected', each === way);
    tab.tabIndex = each === way ? 0 : -1;
    $(each).hidden = each !== way;
  }
  refocus(`tab-${way}`);
  (way === 'draw' ? draw : photo).show();
}

for (const way of ['draw', 'photo']) {
  const tab = $(`tab-${way}`);
  tab.addEventListener('click', () => show(way));
  tab.addEventListener('keydown', (event) => {
    if (!['ArrowLeft', 'ArrowRight', 'Home', 'End'].includes(event.key)) return;
    event.preventDefault();
    const other = way === 'draw' ? 'photo' : 'draw';
    show(other);
    $(`tab-${other}`).focus();
  });
}

/** What is said of corrections now: a live region, which speaks whenever it is set. */
let told = '';

/** The digit whose label was told last, and what became of it. */
function chose(digit) {
  if (!digit) refocus(photo.isShown ? 'another' : 'canvas');
  for (const button of $('labels').children) {
    button.setAttribute('aria-pressed', Boolean(digit) && button.value === digit.told?.label);
  }
  const said = digit?.told?.said ?? (used.collects ? say.collecting : say.notCollecting);
  if (said === told) return;
  told = said;
  // What stands between backquotes is code.
  $('told').replaceChildren(...said.split('`').map((part, at) =>
    at % 2 === 0 ? part : Object.assign(document.createElement('code'), { textContent: part })));
}

/**
 * The image of the chosen digit to save: the part of what was given around it, or the ink alone
 * where that part shows another digit as well, or the browser does not show what was given.
 */
async function sample(digit) {
  const { source } = answer;
  const whole = crop(source, digit.box);
  const { x, y, width, height } = digit.box;
  const [far, middleX, middleY] = [whole.width / 2, x + width / 2, y + height / 2];
  const isNear = ({ box }) =>
    box.x < middleX + far && box.x + box.width > middleX - far && box.y < middleY + far && box.y + box.height > middleY - far;
  if (source.paint && !answer.others.some(isNear)) return blobOf(whole);
  const ink = Object.assign(new Image(), { src: inkOf(digit) });
  await ink.decode();
  const paint = (context) => context.drawImage(ink, x, y, width, height);
  return blobOf(crop({ paint }, digit.box));
}

/** Tells that the chosen digit is `label`. */
async function tell(label) {
  const { digit } = answer;
  if (!digit) return;
  if (used.collects) return keep(digit, label, await sample(digit));
  digit.told = { label, said: say.notCollecting };
  chose(digit);
}

/** Has the image of a digit saved under a label. */
async function keep(digit, label, image) {
  try {
    const { saved } = await collect(image, label);
    digit.told = { label, said: say.saved(saved, label) };
    settle();
    if (answer.digit === digit) chose(digit);
  } catch (error) {
    fail(error, () => keep(digit, label, image));
  }
}

for (const button of $('labels').children) button.addEventListener('click', () => tell(button.value));

$('copy').addEventListener('click', async () => {
  try {
    await navigator.clipboard.writeText(answer.text);
    announce(say.copied);
    $('copy').dataset.done = say.copied;
    setTimeout(() => delete $('copy').dataset.done, 1500);
  } catch {
    getSelection().selectAllChildren($('text'));
    announce(say.notCopied);
  }
});

/** Asks for the weights, and says what depends on them. */
async function load() {
  try {
    await used.load();
  } catch (error) {
    return fail(error, load);
  }
  $('foot').textContent = used.foot;
  chose(answer.digit);
}

draw.start();
photo.start();
await load();
