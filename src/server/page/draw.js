// The canvas: strokes of a mouse, a pen, a finger or the arrow keys.

/** The drawing's size in its own pixels, in which it is sent, however large it is shown. */
export const WIDTH = 800;
export const HEIGHT = 600;

/** Paper around the strokes that are sent. */
const MARGIN = 40;

/** How far an arrow key moves the pen, and with Shift. */
const STEP = 12;
const SMALL_STEP = 3;
/** What a pen's pressure does to the brush: from 0.4 of it to 1.6. */
const pressed = (pressure) => 0.4 + 1.2 * pressure;

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Strokes, each a list of points `[x, y, width]`, as smooth lines. */
export function paintStrokes(context, strokes) {
  context.lineCap = 'round';
  context.lineJoin = 'round';
  for (const stroke of strokes) {
    const [x, y, width] = stroke[0];
    if (stroke.length === 1) {
      context.beginPath();
      context.arc(x, y, width / 2, 0, 2 * Math.PI);
      context.fill();
      continue;
    }
    // From the middle of one pair of points to that of the next, bent by the point between them.
    let from = stroke[0];
    for (let i = 1; i < stroke.length; i++) {
      const [bendX, bendY] = stroke[i - 1];
      const point = stroke[i];
      const last = i === stroke.length - 1;
      const to = last ? point : [(bendX + point[0]) / 2, (bendY + point[1]) / 2];
      context.lineWidth = (stroke[i - 1][2] + point[2]) / 2;
      context.beginPath();
      context.moveTo(from[0], from[1]);
      context.quadraticCurveTo(bendX, bendY, to[0], to[1]);
      context.stroke();
      from = to;
    }
  }
}

/** Strokes as an image of what was given: dark on white. */
export function picture(strokes) {
  return {
    width: WIDTH,
    height: HEIGHT,
    paint(context) {
      context.fillStyle = '#fff';
      context.fillRect(0, 0, WIDTH, HEIGHT);
      context.fillStyle = context.strokeStyle = '#000';
      paintStrokes(context, strokes);
    },
  };
}

/** The part of the drawing with the strokes and paper around them, in whole pixels: less to send and to read. */
export function around(strokes) {
  const points = strokes.flat();
  const least = (at) => Math.floor(Math.min(...points.map((point) => point[at] - point[2] / 2)) - MARGIN);
  const most = (at) => Math.ceil(Math.max(...points.map((point) => point[at] + point[2] / 2)) + MARGIN);
  const [x, y] = [Math.max(0, least(0)), Math.max(0, least(1))];
  return { x, y, width: Math.min(WIDTH, most(0)) - x, height: Math.min(HEIGHT, most(1)) - y };
}

/**
 * A drawing on `canvas`. Calls `changed({ done })` after each change, `done` unless within a stroke,
 * and `pen(down)` when the keyboard puts the pen down or lifts it.
 */
export class Drawing {
  brush = 24;
  /** Finished strokes. Never changed in place: the past and the future share them. */
  #strokes = [];
  #past = [];
  #future = [];
  #current = null;
  #pointer = null;
  #cursor = { x: WIDTH / 2, y: HEIGHT / 2, shown: false };
  #held = new Set();
  #frame = 0;

  constructor(canvas, { changed, pen }) {
    this.canvas = canvas;
    this.changed = changed;
    this.pen = pen;
    canvas.addEventListener('pointerdown', (event) => this.#down(event));
    canvas.addEventListener('pointermove', (event) => this.#move(event));
    for (const kind of ['pointerup', 'pointercancel']) {
      canvas.addEventListener(kind, (event) => this.#up(event));
    }
    canvas.addEventListener('keydown', (event) => this.#key(event));
    canvas.addEventListener('keyup', (event) => this.#held.delete(event.key));
    canvas.addEventListener('focus', () => this.#show(canvas.matches(':focus-visible')));
    canvas.addEventListener('blur', () => {
      this.#held.clear();
      this.#lift();
      this.#show(false);
    });
    new ResizeObserver(() => this.#resize()).observe(canvas);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#redraw());
  }

  /** All strokes, the one being drawn included. */
  get strokes() {
    return this.#current ? [...this.#strokes, this.#current] : this.#strokes;
  }

  get isEmpty() {
    return this.strokes.length === 0;
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  undo() {
    this.#step(this.#past, this.#future);
  }

  redo() {
    this.#step(this.#future, this.#past);
  }

  clear() {
    this.#lift();
    if (this.isEmpty) return;
    this.#commit([]);
  }

  #step(from, to) {
    this.#lift();
    if (from.length === 0) return;
    to.push(this.#strokes);
    this.#strokes = from.pop();
    this.#told(true);
  }

  #commit(strokes) {
    this.#past.push(this.#strokes);
    this.#future = [];
    this.#strokes = strokes;
    this.#told(true);
  }

  #told(done) {
    this.#redraw();
    this.changed({ done });
  }

  #begin(x, y, width) {
    this.#current = [[x, y, width]];
    this.#told(false);
  }

  #end() {
    if (!this.#current) return;
    const strokes = [...this.#strokes, this.#current];
    this.#current = null;
    this.#commit(strokes);
  }

  #point(event) {
    const at = this.canvas.getBoundingClientRect();
    const width =
      event.pointerType === 'pen' && event.pressure > 0 ? this.brush * pressed(event.pressure) : this.brush;
    return [
      ((event.clientX - at.left) * WIDTH) / at.width,
      ((event.clientY - at.top) * HEIGHT) / at.height,
      width,
    ];
  }

  #down(event) {
    // One pointer at a time: the palm beside a pen is none.
    if (event.button !== 0 || this.#pointer !== null) return;
    this.#lift();
    this.#show(false);
    this.#pointer = event.pointerId;
    this.canvas.setPointerCapture(event.pointerId);
    this.#begin(...this.#point(event));
  }

  #move(event) {
    if (event.pointerId !== this.#pointer) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length > 0 ? events : [event]) this.#current.push(this.#point(each));
    this.#told(false);
  }

  #up(event) {
    if (event.pointerId !== this.#pointer) return;
    this.#pointer = null;
    this.#end();
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { key } = event;
    if (key in ARROWS) {
      this.#held.add(key);
      this.#walk(event.shiftKey ? SMALL_STEP : STEP);
    } else if (key === ' ' || key === 'Enter') {
      if (!event.repeat) this.#toggle();
    } else if (key === 'Escape') {
      this.#lift();
    } else if (key === 'Delete' || key === 'Backspace') {
      this.clear();
    } else {
      return;
    }
    event.preventDefault();
  }

  /** Moves the pen in the direction of all arrows that are held, so that two make a diagonal. */
  #walk(step) {
    if (this.#pointer !== null) return;
    const cursor = this.#cursor;
    for (const key of this.#held) {
      cursor.x = Math.min(WIDTH, Math.max(0, cursor.x + step * ARROWS[key][0]));
      cursor.y = Math.min(HEIGHT, Math.max(0, cursor.y + step * ARROWS[key][1]));
    }
    this.#show(true);
    if (!this.#current) return;
    this.#current.push([cursor.x, cursor.y, this.brush]);
    this.#told(false);
  }

  #toggle() {
    if (this.#pointer !== null) return;
    this.#show(true);
    if (this.#current) {
      this.#lift();
    } else {
      this.#begin(this.#cursor.x, this.#cursor.y, this.brush);
      this.pen(true);
    }
  }

  /** Lifts the keyboard's pen. */
  #lift() {
    if (!this.#current || this.#pointer !== null) return;
    this.#end();
    this.pen(false);
  }

  #show(shown) {
    this.#cursor.shown = shown;
    this.#redraw();
  }

  #resize() {
    const { canvas } = this;
    const scale = Math.min(devicePixelRatio || 1, 3);
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * scale));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * scale));
    this.#redraw();
  }

  #redraw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #draw() {
    const { canvas } = this;
    const context = canvas.getContext('2d');
    const style = getComputedStyle(canvas);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.scale(canvas.width / WIDTH, canvas.height / HEIGHT);
    context.fillStyle = context.strokeStyle = style.getPropertyValue('--drawn');
    paintStrokes(context, this.strokes);
    if (!this.#cursor.shown) return;
    const { x, y } = this.#cursor;
    context.fillStyle = context.strokeStyle = style.getPropertyValue('--accent');
    context.lineWidth = 3;
    context.beginPath();
    context.arc(x, y, this.brush / 2 + 3, 0, 2 * Math.PI);
    if (this.#current) context.fill();
    for (const [dx, dy] of Object.values(ARROWS)) {
      const near = this.brush / 2 + 3;
      context.moveTo(x + dx * near, y + dy * near);
      context.lineTo(x + dx * (near + 14), y + dy * (near + 14));
    }
    context.stroke();
  }
}
