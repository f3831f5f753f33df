// The program and the browser under test, and a hand that writes.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { chromium } from 'playwright-core';

export const ROOT = resolve(fileURLToPath(import.meta.url), '../../..');
export const MNIST = resolve(ROOT, process.env.MNIST || 'target/release/mnist');
const BROWSERS = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
/** How many points a second of handwriting has. */
const POINTS = 24;

/** Digits as SVG paths in a box of 100×140, a path a stroke. */
const STROKES = [
  ['M50 5 C15 5 8 60 12 85 C16 125 40 135 52 135 C85 135 92 90 90 65 C88 25 70 5 46 6'],
  ['M55 5 L48 135'],
  ['M12 35 C15 5 80 -5 82 38 C84 75 30 105 10 132 L92 130'],
  ['M15 15 C45 -8 88 5 78 40 C72 60 50 64 38 65 C65 62 92 78 84 108 C76 142 30 140 10 120'],
  ['M40 5 L12 80 L88 80', 'M66 40 L62 135'],
  ['M22 8 L18 62 C50 42 90 60 84 98 C78 138 28 142 10 118', 'M22 8 L82 6'],
  ['M70 5 C30 25 8 75 14 105 C20 138 80 145 84 105 C86 70 35 65 17 98'],
  ['M10 10 L88 8 C70 45 48 90 42 135'],
  ['M78 22 C60 -5 15 5 22 38 C30 65 88 75 84 108 C80 142 12 142 16 106 C20 78 76 60 80 30'],
  ['M80 30 C65 -5 12 5 16 42 C20 78 75 72 81 32 L74 135'],
];

/** The system's Chromium. */
function browserPath() {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const named = process.env.CHROMIUM;
  const found = named
    ? [named].find(existsSync)
    : BROWSERS.flatMap((name) => folders.map((folder) => join(folder, name))).find(existsSync);
  if (found) return found;
  throw new Error(
    `no Chromium ${named ? `at CHROMIUM=${named}` : 'found'}: ` +
      'install it (on Debian: apt-get install chromium), or set CHROMIUM to the path of a Chromium or Chrome',
  );
}

/** A browser; `camera` is a file of frames for a camera that does not exist. */
export function launch({ camera } = {}) {
  const args = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--font-render-hinting=none'];
  if (camera) {
    args.push(
      '--use-fake-device-for-media-stream',
      '--use-fake-ui-for-media-stream',
      `--use-file-for-fake-video-capture=${camera}`,
    );
  }
  return chromium.launch({ executablePath: browserPath(), headless: true, args });
}

/** Runs the program; resolves to what it printed. */
export const mnist = (...args) =>
  new Promise((resolve, reject) =>
    execFile(MNIST, args, { cwd: ROOT, maxBuffer: 1 << 26 }, (error, stdout, stderr) =>
      error ? reject(new Error(`mnist ${args.join(' ')}: ${stderr}`)) : resolve(stdout)));

/** A folder that goes when `test` ends. */
export async function folder(test) {
  const path = await mkdtemp(join(tmpdir(), 'mnist-e2e-'));
  test.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** `mnist serve`, until `test` ends: `{ url, stop }`. */
export async function serve(test, ...args) {
  if (!args.includes('--listen')) args.push('--listen', '127.0.0.1:0');
  const program = spawn(MNIST, ['serve', ...args], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  let errors = '';
  program.stderr.on('data', (text) => (errors += text));
  const ended = new Promise((resolve) => program.on('exit', resolve));
  const stop = () => {
    program.kill('SIGTERM');
    return ended;
  };
  test.after(stop);
  const address = (async () => {
    for await (const line of createInterface(program.stdout)) {
      const url = line.match(/http:\S+/)?.[0];
      if (url) return url.replace(/\/$/, '');
    }
    throw new Error(`mnist serve ended: ${errors}`);
  })();
  return { url: await address, stop };
}

/** Within the page: keeps what is sent and what comes back, since blobs do not show in the protocol. */
function record() {
  const real = window.fetch;
  window.exchanges = [];
  window.fetch = async (path, options = {}) => {
    const at = performance.now();
    const response = await real(path, options);
    const answer = await response.clone().json().catch(() => null);
    window.exchanges.push({ at, path, body: options.body, answer });
    return response;
  };
}

/**
 * The page in a new context of `browser`. When `test` ends, nothing may have gone wrong in the page,
 * nor may it have asked another server for anything.
 */
export async function open(test, browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const wrong = [];
  page.on('pageerror', (error) => wrong.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && wrong.push(message.text()));
  page.on('request', (request) => {
    if (!request.url().startsWith(url) && !/^(blob|data):/.test(request.url())) wrong.push(request.url());
  });
  await page.addInitScript(record);
  await page.goto(url);
  await page.waitForSelector('#weights-name:not(:empty)');
  test.after(async () => {
    await context.close();
    assert.deepEqual(wrong.filter((line) => !options.forgive?.test(line)), []);
  });
  return page;
}

/** Waits until every answer is there. */
export const settled = (page) => page.waitForSelector('#answer:not([aria-busy="true"])');

/** Gives the page an image by `act`, and waits for what is read of it. */
export async function given(page, act) {
  const before = await page.evaluate(() => window.exchanges.length);
  await act();
  await page.waitForFunction((before) => window.exchanges.length > before, before);
  await settled(page);
}

/** The last exchange with `path`: what was sent, as a file, and the answer. */
export async function exchanged(page, path, file) {
  const { base64, answer } = await page.evaluate(async (path) => {
    const { body, answer } = window.exchanges.findLast((each) => each.path.startsWith(path));
    const bytes = new Uint8Array(await body.arrayBuffer());
    let text = '';
    for (const byte of bytes) text += String.fromCharCode(byte);
    return { base64: btoa(text), answer };
  }, path);
  if (file) await writeFile(file, Buffer.from(base64, 'base64'));
  return answer;
}

/** The points of a digit's strokes in a box of the canvas, on the screen; the box in shares of the canvas. */
export async function strokesOf(page, digit, { x, y, height }) {
  const at = await page.locator('#canvas').boundingBox();
  return page.evaluate(
    ({ paths, points, at, x, y, scale }) =>
      paths.map((d) => {
        const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
        path.setAttribute('d', d);
        return Array.from({ length: points + 1 }, (_, i) => {
          const point = path.getPointAtLength((i / points) * path.getTotalLength());
          return [at.x + x * at.width + scale * point.x, at.y + y * at.height + scale * point.y];
        });
      }),
    { paths: STROKES[digit], points: POINTS, at, x, y, scale: (height * at.height) / 140 },
  );
}

/** Writes a digit with the mouse. */
export async function write(page, digit, place = { x: 0.35, y: 0.2, height: 0.6 }) {
  for (const [first, ...rest] of await strokesOf(page, digit, place)) {
    await page.mouse.move(...first);
    await page.mouse.down();
    for (const point of rest) await page.mouse.move(...point);
    await page.mouse.up();
  }
}

/** Writes digits beside each other. */
export async function writeAll(page, digits, { height = 0.4, y = 0.3 } = {}) {
  for (const [at, digit] of [...digits].entries()) {
    await write(page, Number(digit), { x: 0.06 + (0.9 * at) / digits.length, y, height });
  }
}

/** Chooses a file, as in the browser's dialog. */
export const choose = (page, path) => given(page, () => page.setInputFiles('#choose', join(ROOT, path)));

/** Drops a file on the page, or pastes it, as `type` says. */
export async function hand(page, type, path, mime = 'image/jpeg') {
  const base64 = (await readFile(join(ROOT, path))).toString('base64');
  const dispatch = ({ type, base64, mime, name }) => {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const data = new DataTransfer();
    data.items.add(new File([bytes], name, { type: mime }));
    const event = type === 'paste'
      ? new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true })
      : new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true });
    document.body.dispatchEvent(event);
  };
  await page.evaluate(dispatch, { type, base64, mime, name: path.split('/').pop() });
}
