// Images from outside: dropped, pasted, chosen, or taken with the camera.

import { Failure } from './api.js';
import { say } from './text.js';

/** What the program takes: bytes, pixels, and kinds of images. */
const MAX_BYTES = 20e6;
const MAX_PIXELS = 25e6;
const TAKEN = /^image\/(png|jpeg|webp|gif|bmp|x-ms-bmp|tiff|x-portable-.*)$/;
/** The side of what is sent in place of an image that is too large, or of another kind. */
const SIDE = 4000;

/** A canvas as a blob. */
export const blobOf = (canvas, type = 'image/png', quality) =>
  new Promise((resolve) => canvas.toBlob(resolve, type, quality));

function sized(width, height) {
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

/**
 * An image to send and to show: `{ blob, bitmap }`, the bitmap null where the browser cannot show
 * what the program may yet read. A `Failure` for what neither takes.
 */
export async function prepare(file) {
  const bitmap = file && (await createImageBitmap(file).catch(() => null));
  if (!bitmap) {
    if (!file || !(TAKEN.test(file.type) || file.type === '')) throw new Failure(say.noImage);
    if (file.size > MAX_BYTES) throw new Failure(say.tooLarge(MAX_BYTES / 1e6));
    return { blob: file, bitmap };
  }
  const pixels = bitmap.width * bitmap.height;
  if (TAKEN.test(file.type) && file.size <= MAX_BYTES && pixels <= MAX_PIXELS) return { blob: file, bitmap };
  const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = sized(Math.round(bitmap.width * scale), Math.round(bitmap.height * scale));
  const context = canvas.getContext('2d');
  context.fillStyle = '#fff';
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return { blob: await blobOf(canvas, 'image/jpeg', 0.92), bitmap: canvas };
}

/** The first image among what was dropped or pasted. */
const imageOf = (transfer) =>
  [...(transfer?.files ?? [])].find((file) => file.type === '' || file.type.startsWith('image/'));

/** Calls `given(file, how)` for each image that is dropped, pasted or chosen, with null for none. */
export function listen(inputs, given) {
  const holdsFiles = (event) => event.dataTransfer?.types.includes('Files');
  let depth = 0;
  const mark = (change) => {
    depth = change === 0 ? 0 : Math.max(0, depth + change);
    document.body.classList.toggle('dropping', depth > 0);
  };
  addEventListener('dragenter', (event) => holdsFiles(event) && mark(1));
  addEventListener('dragleave', (event) => holdsFiles(event) && mark(-1));
  addEventListener('dragover', (event) => event.preventDefault());
  addEventListener('drop', (event) => {
    event.preventDefault();
    mark(0);
    given(imageOf(event.dataTransfer) ?? null, 'dropped');
  });
  addEventListener('paste', (event) => {
    const image = imageOf(event.clipboardData);
    if (!image) return;
    event.preventDefault();
    given(image, 'pasted');
  });
  for (const input of inputs) {
    input.addEventListener('change', () => {
      if (input.files.length > 0) given(input.files[0], 'chosen');
      input.value = '';
    });
  }
}

const end = (stream) => stream.getTracks().forEach((track) => track.stop());

/** The camera, shown in a video element. */
export class Camera {
  #stream = null;
  /** How often it was started and stopped. */
  #count = 0;

  constructor(video) {
    this.video = video;
  }

  /** Whether a page may ask for one; on addresses without TLS only the own machine's may. */
  static get isThere() {
    return Boolean(navigator.mediaDevices?.getUserMedia);
  }

  /** Resolves once it shows something; to false where it was stopped, or started again, before. */
  async start() {
    this.stop();
    const count = this.#count;
    try {
      const wanted = { facingMode: 'environment', width: { ideal: 1920 }, height: { ideal: 1440 } };
      const stream = await navigator.mediaDevices.getUserMedia({ video: wanted });
      if (count !== this.#count) {
        end(stream);
        return false;
      }
      this.video.srcObject = this.#stream = stream;
      await this.video.play();
      return count === this.#count;
    } catch (error) {
      if (count !== this.#count) return false;
      throw error;
    }
  }

  /** What it sees now, as a PNG. */
  async shoot() {
    const { videoWidth, videoHeight } = this.video;
    const canvas = sized(videoWidth, videoHeight);
    canvas.getContext('2d').drawImage(this.video, 0, 0);
    return blobOf(canvas);
  }

  stop() {
    this.#count += 1;
    if (this.#stream) end(this.#stream);
    this.#stream = null;
    this.video.srcObject = null;
  }
}
