// The page of `mnist serve` in a browser, beside what the other commands say of the same pixels.

import assert from 'node:assert/strict';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import axe from 'axe-core';

import { ROOT, choose, exchanged, folder, given, hand, launch, mnist, open, serve, settled, strokesOf, write, writeAll } from './harness.mjs';

const PAGE = 'tests/sheets/plain_0.jpg';
const TURNED = 'tests/sheets/exif_0.jpg';
const FORM = 'tests/sheets/form_0.jpg';
const BLANK = 'tests/sheets/blank_0.jpg';
const PHONE = { viewport: { width: 320, height: 640 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
/** What the page weighs at most, in bytes. */
const MAX_BYTES = 100_000;
/** The least time between two questions, in milliseconds, less what clocks are wrong by. */
const PACE = 95;

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

const digitsOf = (answer) => answer.lines.flatMap((line) => line.digits);
const readOf = async (page) => (await page.locator('#digits .read').allTextContents()).join('');
const textOf = (page) => page.locator('#text .row').allTextContents();
const verdict = (page) => page.locator('#verdict').textContent();

/** Two answers on one digit: the same but for the last bits of its numbers. */
function same(one, other) {
  assert.equal(one.label, other.label);
  assert.equal(one.digit, other.digit);
  for (const [at, probability] of [...one.probabilities, one.score].entries()) {
    const expected = [...other.probabilities, other.score][at];
    assert.ok(Math.abs(probability - expected) < 1e-5, `${probability} for ${at}, not ${expected}`);
  }
}

/** What the page was told of the image that it sent last is what `mnist read` says: its digits, and the file. */
async function compare(page, where) {
  const file = join(where, 'sent.png');
  const answer = await exchanged(page, '/explain', file);
  const read = JSON.parse(await mnist('read', '--weights', 'released', '--json', file));
  assert.equal(digitsOf(answer).length, digitsOf(read).length);
  for (const [at, digit] of digitsOf(answer).entries()) {
    assert.deepEqual(digit.box, digitsOf(read)[at].box);
    same(digit, digitsOf(read)[at]);
  }
  return { digits: digitsOf(answer), file };
}

/** One digit on the page is what `mnist predict` says of the same pixels. */
async function asPredicted(page, digit, where) {
  await settled(page);
  const { digits, file } = await compare(page, where);
  assert.equal(digits.length, 1);
  assert.equal(digits[0].label, digit);
  // No more than the digit and some paper around it is sent, of 800×600.
  const sent = await readFile(file);
  assert.ok(sent.readUInt32BE(16) < 500, `${sent.readUInt32BE(16)}×${sent.readUInt32BE(20)}`);
  same(digits[0], JSON.parse(await mnist('predict', '--weights', 'released', '--json', file)));
  assert.equal(await readOf(page), String(digit));
  assert.match(await verdict(page), new RegExp(`It is an? ${digit}`));
}

test('a mouse writes a digit, which is read as mnist predict reads it', async (t) => {
  const { url } = await serve(t);
  const page = await open(t, browser, url);
  for (const digit of [7, 3]) {
    await write(page, digit);
    await asPredicted(page, digit, await folder(t));
    await page.click('#clear');
    await settled(page);
  }
});

test('a finger writes a digit, and the page stays where it is', async (t) => {
  const { url } = await serve(t);
  const page = await open(t, browser, url, PHONE);
  const touch = await page.context().newCDPSession(page);
  for (const stroke of await strokesOf(page, 4, { x: 0.3, y: 0.15, height: 0.7 })) {
    stroke.push(null);
    for (const [at, point] of stroke.entries()) {
      await touch.send('Input.dispatchTouchEvent', {
        type: at === 0 ? 'touchStart' : point ? 'touchMove' : 'touchEnd',
        touchPoints: point ? [{ x: point[0], y: point[1] }] : [],
      });
    }
  }
  await asPredicted(page, 4, await folder(t));
  assert.equal(await page.evaluate(() => scrollY), 0);
});

test('a pen that presses harder writes thicker', async (t) => {
  const { url } = await serve(t);
  const page = await open(t, browser, url);
  const ink = async (force) => {
    await page.evaluate((pressure) => {
      const canvas = document.querySelector('#canvas');
      const { x, y } = canvas.getBoundingClientRect();
      canvas.setPointerCapture = () => {};
      const send = (type, at) => canvas.dispatchEvent(
        new PointerEvent(type, { pointerId: 9, pointerType: 'pen', pressure, button: 0, clientX: x + 200, clientY: y + 60 + at }));
      send('pointerdown', 0);
      for (let at = 10; at < 260; at += 10) send('pointermove', at);
      send('pointerup', 260);
    }, force);
    await settled(page);
    const { box } = digitsOf(await exchanged(page, '/explain'))[0];
    await page.click('#clear');
    return box.width;
  };
  const [light, hard] = [await ink(0.1), await ink(1)];
  assert.ok(hard > 2 * light, `${hard} and ${light} pixels wide`);
});

test('the keyboard alone writes, reads, corrects, and changes the weights', async (t) => {
  const collected = await folder(t);
  const other = join(await folder(t), 'mine.safetensors');
  await writeFile(other, await readFile(join(ROOT, 'models/released.safetensors')));
  const { url } = await serve(t, '--collect', collected, '--weights', 'released', '--weights', other);
  const page = await open(t, browser, url);
  const press = async (key, times = 1) => {
    for (let i = 0; i < times; i++) await page.keyboard.press(key);
  };
  const tabTo = async (selector) => {
    for (let i = 0; i < 60; i++) {
      if (await page.evaluate((selector) => document.activeElement.matches(selector), selector)) return;
      await press('Tab');
    }
    assert.fail(`Tab does not come to ${selector}`);
  };
  const live = () => page.locator('#live').textContent();

  await tabTo('#canvas');
  await press('ArrowUp', 15);
  await press('Space');
  assert.equal(await live(), 'Pen down.');
  await press('ArrowDown', 30);
  await press('Space');
  await asPredicted(page, 1, await folder(t));
  assert.match(await live(), /^Read: 1, /);

  await press('Control+z');
  await settled(page);
  assert.equal(await verdict(page), 'Nothing drawn yet.');
  await press('Control+Shift+z');
  await settled(page);
  assert.equal(await readOf(page), '1');

  await tabTo('#digits button');
  await tabTo('#labels button[value="1"]');
  await press('Enter');
  await page.waitForSelector('#labels [value="1"][aria-pressed="true"]');
  assert.equal((await readdir(join(collected, '1'))).length, 1);

  await tabTo('#weights-open');
  await press('Enter');
  await page.waitForSelector('#weights[open]');
  await tabTo('#weights input');
  await press('ArrowDown');
  await settled(page);
  await press('Escape');
  assert.match(await page.locator('#weights-name').textContent(), /mine/);
  const asked = await page.evaluate(() => window.exchanges.at(-1).path);
  assert.match(decodeURIComponent(asked), /^\/explain\?weights=.*mine/);

  await tabTo('#tab-draw');
  await press('ArrowRight');
  assert.equal(await page.locator('#photo').isVisible(), true);
  await tabTo('#choose');
  const focused = () => page.evaluate(() => document.activeElement.id);
  await choose(page, PAGE);
  assert.equal(await focused(), 'another');
  await page.keyboard.press('Shift+Tab');
  assert.ok(await page.evaluate(() => document.activeElement.matches('.box.chosen')));
  await press('ArrowRight');
  assert.equal(await page.evaluate(() => document.activeElement.dataset.at), '1');
  await tabTo('#labels button[value="2"]');
  await press('Enter');
  await page.waitForSelector('#labels [value="2"][aria-pressed="true"]');
  assert.equal((await readdir(join(collected, '2'))).length, 1);
  await page.locator('#another').focus();
  await press('Enter');
  assert.equal(await focused(), 'choose');
  await page.keyboard.press('Shift+Tab');
  await press('ArrowLeft');
  assert.equal(await focused(), 'tab-draw');
  await tabTo('#labels button');
  await press('Control+z');
  await settled(page);
  assert.equal(await focused(), 'canvas');
});

test('several digits are read in order, and a digit shows its reasons', async (t) => {
  const { url } = await serve(t);
  const page = await open(t, browser, url);
  await writeAll(page, '2075');
  await settled(page);
  assert.equal(await readOf(page), '2075');
  const boxes = page.locator('#draw-boxes .box');
  assert.equal(await boxes.count(), 4);
  const canvas = await page.locator('#canvas').boundingBox();
  for (const [at, digit] of [...'2075'].entries()) {
    const points = (await strokesOf(page, digit, { x: 0.06 + (0.9 * at) / 4, y: 0.3, height: 0.4 })).flat();
    const middle = (axis) => (Math.min(...points.map((point) => point[axis])) + Math.max(...points.map((point) => point[axis]))) / 2;
    const box = await boxes.nth(at).boundingBox();
    assert.ok(Math.hypot(box.x + box.width / 2 - middle(0), box.y + box.height / 2 - middle(1)) < 0.02 * canvas.width, `box ${at}`);
  }
  // The one that was written last is chosen, then the one that is pressed.
  assert.match(await verdict(page), /It is a 5/);
  await page.locator('#digits .read').nth(1).click();
  assert.match(await verdict(page), /It is a 0/);
  assert.equal(await page.locator('#bars .most b').textContent(), '0');
  assert.equal(await page.locator('#for').textContent(), 'for 0');
  const { seen, evidence } = digitsOf(await exchanged(page, '/explain'))[1];
  const shown = await page.evaluate(() =>
    ['seen', 'evidence'].map((id) =>
      [...document.getElementById(id).getContext('2d').getImageData(0, 0, 28, 28).data].filter((_, at) => at % 4 === 3)));
  assert.deepEqual(shown[0], [...Buffer.from(seen, 'base64')]);
  for (const [at, value] of new Int8Array(Buffer.from(evidence, 'base64')).entries()) {
    if (Math.abs(value) > 8) assert.ok(shown[1][at] > 0, `no colour at ${at}`);
  }
  assert.ok(await page.locator('#ink').evaluate((image) => image.naturalWidth > 10));
});

test('answers come while one draws, at most ten a second', async (t) => {
  const { url } = await serve(t);
  const page = await open(t, browser, url);
  await page.evaluate(() => {
    window.spoken = 0;
    new MutationObserver(() => (window.spoken += 1)).observe(document.querySelector('#told'), { childList: true });
  });
  for (const [first, ...rest] of await strokesOf(page, 3, { x: 0.35, y: 0.2, height: 0.6 })) {
    await page.mouse.move(...first);
    await page.mouse.down();
    for (const point of rest) {
      await page.mouse.move(...point);
      await page.waitForTimeout(25);
    }
  }
  const asked = () => page.evaluate(() => window.exchanges.filter(({ path }) => path.startsWith('/explain')).map(({ at }) => at));
  await page.waitForFunction(() => window.exchanges.some(({ path }) => path.startsWith('/explain')));
  await page.mouse.up();
  await settled(page);
  const times = await asked();
  assert.ok(times.length > 1, `${times.length} questions`);
  for (const [at, time] of times.slice(1).entries()) assert.ok(time - times[at] >= PACE, `${time - times[at]} ms`);
  assert.equal(await page.evaluate(() => window.spoken), 0, 'what is said of corrections stays the same');
  assert.equal(await readOf(page), '3');
});

test('nothing drawn is no digit; undo, redo and clear', async (t) => {
  const { url } = await serve(t);
  const page = await open(t, browser, url);
  const is = async (text) => {
    await settled(page);
    assert.equal(await readOf(page), text);
  };
  assert.equal(await verdict(page), 'Nothing drawn yet.');
  assert.equal(await page.locator('#why').isVisible(), false);
  // They look disabled, but keep the focus of the keyboard.
  await page.click('#undo', { force: true });
  await page.click('#clear', { force: true });
  await is('');
  assert.equal(await page.evaluate(() => window.exchanges.filter(({ path }) => path.startsWith('/explain')).length), 0);
  await writeAll(page, '17');
  await is('17');
  await page.click('#undo');
  await is('1');
  await page.click('#redo');
  await is('17');
  await page.click('#clear');
  await is('');
  assert.equal(await verdict(page), 'Nothing drawn yet.');
  assert.equal(await page.locator('#draw-boxes .box').count(), 0);
  await page.click('#undo');
  await is('17');
});

test('a letter is no digit, and the page says so', async (t) => {
  const { url } = await serve(t);
  const page = await open(t, browser, url);
  const at = await page.locator('#canvas').boundingBox();
  const [first, ...rest] = [[0.4, 0.75], [0.5, 0.25], [0.6, 0.75], [0.57, 0.55], [0.43, 0.55]]
    .map(([x, y]) => [at.x + x * at.width, at.y + y * at.height]);
  await page.mouse.move(...first);
  await page.mouse.down();
  for (const point of rest) await page.mouse.move(...point, { steps: 5 });
  await page.mouse.up();
  await settled(page);
  await compare(page, await folder(t));
  assert.match(await verdict(page), /^Not a digit\./);
  assert.equal(await readOf(page), '–');
  assert.equal(await page.locator('#copy').isVisible(), false);
});

/** The page shows what `mnist read` reads of an image: text, and boxes in their places and order. */
async function asRead(page, file) {
  await settled(page);
  const read = JSON.parse(await mnist('read', '--weights', 'released', '--json', file));
  const { width, height } = await exchanged(page, '/explain');
  assert.deepEqual(await textOf(page), read.lines.map((line) => line.text).filter((line) => line !== ''));
  await page.waitForFunction(() => document.querySelector('#page-image').complete);
  const [image, ...boxes] = await page.evaluate(() =>
    [document.querySelector('#page-image'), ...document.querySelectorAll('#photo-boxes .box')].map((element) => {
      const { x, y, width, height } = element.getBoundingClientRect();
      return { x, y, width, height, name: element.getAttribute('aria-label') };
    }));
  assert.equal(boxes.length, digitsOf(read).length);
  for (const [at, digit] of digitsOf(read).entries()) {
    const [across, down] = [image.width / width, image.height / height];
    const expected = { x: image.x + digit.box.x * across, y: image.y + digit.box.y * down, width: digit.box.width * across, height: digit.box.height * down };
    for (const [name, value] of Object.entries(expected)) {
      assert.ok(Math.abs(boxes[at][name] - value) < 1.5, `${name} of box ${at}: ${boxes[at][name]}, not ${value}`);
    }
    assert.ok(boxes[at].name.startsWith(digit.digit ? String(digit.label) : 'not a digit'), boxes[at].name);
  }
  return digitsOf(read);
}

test('a page that is dropped is read, with a box around each digit', async (t) => {
  const { url } = await serve(t);
  const page = await open(t, browser, url);
  await given(page, () => hand(page, 'drop', PAGE));
  const digits = await asRead(page, PAGE);
  const fifth = digits[5];
  await page.locator('#photo-boxes .box').nth(5).click();
  assert.match(await verdict(page), new RegExp(`(It is|Unsure:) an? ${fifth.label}`));
  await page.keyboard.press('ArrowRight');
  assert.equal(await page.evaluate(() => document.activeElement.dataset.at), '6');
  assert.match(await verdict(page), new RegExp(`an? ${digits[6].label}`));
  await page.keyboard.press('Home');
  assert.match(await verdict(page), new RegExp(`an? ${digits[0].label}`));
  await page.locator('#text [data-at="3"]').click();
  assert.match(await verdict(page), new RegExp(`an? ${digits[3].label}`));
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.click('#copy');
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), (await textOf(page)).join('\n'));
});

test('an image is pasted, and one that is turned by EXIF chosen', async (t) => {
  const { url } = await serve(t);
  const page = await open(t, browser, url, PHONE);
  await given(page, () => hand(page, 'paste', PAGE));
  await asRead(page, PAGE);
  await page.click('#another');
  await choose(page, TURNED);
  await asRead(page, TURNED);
});

test('of a digit that it is unsure of, the page says so', async (t) => {
  const { url } = await serve(t);
  const page = await open(t, browser, url);
  await choose(page, FORM);
  const digits = await asRead(page, FORM);
  const at = digits.findIndex((digit) => digit.digit && digit.confidence < 0.9);
  await page.locator('#photo-boxes .box').nth(at).click();
  assert.match(await verdict(page), new RegExp(`^Unsure: an? ${digits[at].label} \\(\\d+\\.\\d%\\), or an? \\d `));
  assert.equal(await page.locator('#text .unsure').first().textContent(), String(digits[at].label));
});

test('an image that the browser cannot show is read all the same', async (t) => {
  const collected = await folder(t);
  const { url } = await serve(t, '--collect', collected);
  const page = await open(t, browser, url);
  const { width, height, grey } = await page.evaluate(() => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 300, height: 200 });
    const context = canvas.getContext('2d');
    context.fillStyle = '#fff';
    context.fillRect(0, 0, 300, 200);
    context.lineWidth = 12;
    for (const x of [80, 200]) context.strokeRect(x, 60, 40, 80);
    const { data } = context.getImageData(0, 0, 300, 200);
    return { width: 300, height: 200, grey: [...data].filter((_, at) => at % 4 === 0) };
  });
  const pgm = Buffer.concat([Buffer.from(`P5 ${width} ${height} 255\n`), Buffer.from(grey)]);
  await given(page, () => page.setInputFiles('#choose', { name: 'page.pgm', mimeType: 'image/x-portable-graymap', buffer: pgm }));
  assert.deepEqual(await textOf(page), ['00']);
  assert.equal(await page.locator('#unshown').isVisible(), true);
  const [box, sheet] = [await page.locator('#photo-boxes .box').first().boundingBox(), await page.locator('#photo-boxes').boundingBox()];
  assert.ok(Math.abs((box.x - sheet.x) / sheet.width - 74 / 300) < 0.02);
  await page.click('#labels [value="0"]');
  await page.waitForSelector('#labels [value="0"][aria-pressed="true"]');
  const [file] = await readdir(join(collected, '0'));
  assert.equal(JSON.parse(await mnist('predict', '--weights', 'released', '--json', join(collected, '0', file))).label, 0);
});

test('without a camera the page says so', async (t) => {
  const { url } = await serve(t);
  const page = await open(t, browser, url);
  await page.click('#tab-photo');
  await page.click('#camera-start');
  await page.waitForSelector('#notice:not([hidden])');
  assert.match(await page.locator('#notice').textContent(), /camera cannot be used/);
  assert.equal(await page.locator('#choose').isVisible(), true);
});

test('a blank page has no digits, and what is no image is refused', async (t) => {
  const { url } = await serve(t);
  const page = await open(t, browser, url, { forgive: /status of 4/ });
  await choose(page, BLANK);
  assert.equal(await verdict(page), 'No digit found.');
  assert.equal(await page.locator('#why').isVisible(), false);
  await hand(page, 'drop', 'README.md', 'text/markdown');
  await page.waitForSelector('#notice:not([hidden])');
  assert.match(await page.locator('#notice').textContent(), /That is no image/);
  await given(page, () => hand(page, 'drop', 'README.md', 'image/png'));
  assert.match(await page.locator('#notice').textContent(), /^Cannot read the image: it is not a PNG/);
});

test('a file that is too large is not sent', async (t) => {
  const { url } = await serve(t);
  const page = await open(t, browser, url);
  await page.setInputFiles('#choose', { name: 'page.tiff', mimeType: 'image/tiff', buffer: Buffer.alloc(20_000_001) });
  await page.waitForSelector('#notice:not([hidden])');
  assert.match(await page.locator('#notice').textContent(), /more than the 20 MB/);
  assert.equal(await page.evaluate(() => window.exchanges.some(({ path }) => path.startsWith('/explain'))), false);
});

test('an image that takes long to open does not replace one that was given after it', async (t) => {
  const { url } = await serve(t);
  const page = await open(t, browser, url);
  await page.evaluate(() => {
    const real = window.createImageBitmap;
    window.createImageBitmap = async (file) => {
      window.createImageBitmap = real;
      await new Promise((resolve) => (window.goOn = resolve));
      return real(file);
    };
  });
  await page.setInputFiles('#choose', join(ROOT, BLANK));
  await page.waitForFunction(() => window.goOn);
  await choose(page, PAGE);
  await page.evaluate(() => window.goOn());
  await asRead(page, PAGE);
  assert.equal(await page.evaluate(() => window.exchanges.filter(({ path }) => path.startsWith('/explain')).length), 1);
});

test('an answer that breaks off is asked for again', async (t) => {
  const { url } = await serve(t);
  const page = await open(t, browser, url);
  let broken = 0;
  await page.route('**/explain*', (route) => {
    broken += 1;
    return route.fulfill({ status: 200, contentType: 'application/json', body: '{"lines":[' });
  });
  await write(page, 3);
  await page.waitForSelector('#notice:not([hidden])');
  await settled(page);
  await page.unroute('**/explain*');
  await page.waitForSelector('#notice[hidden]', { state: 'attached' });
  await page.waitForSelector('#digits .read');
  await settled(page);
  assert.equal(await readOf(page), '3');
  assert.ok(broken > 0);
});

test('the camera takes a page', async (t) => {
  const where = await folder(t);
  const frames = join(where, 'camera.mjpeg');
  const frame = await readFile(join(ROOT, PAGE));
  await writeFile(frames, Buffer.concat([frame, frame]));
  const seeing = await launch({ camera: frames });
  t.after(() => seeing.close());
  const { url } = await serve(t);
  const page = await open(t, seeing, url);
  await page.click('#tab-photo');
  await page.click('#camera-start');
  // It can be pressed once there is something to take.
  await given(page, () => page.click('#shoot'));
  const sent = join(where, 'sent.png');
  await exchanged(page, '/explain', sent);
  const digits = await asRead(page, sent);
  assert.ok(digits.length > 10, `${digits.length} digits`);
  assert.equal(await page.evaluate(() => document.querySelector('video').srcObject), null);
});

test('a correction is saved and read again', async (t) => {
  const collected = await folder(t);
  const { url } = await serve(t, '--collect', collected);
  const page = await open(t, browser, url);
  await writeAll(page, '64');
  await settled(page);
  await page.click('#labels [value="4"]');
  await page.waitForSelector('#labels [value="4"][aria-pressed="true"]');
  await page.locator('#digits .read').first().click();
  await page.click('#labels [value="none"]');
  await page.waitForSelector('#labels [value="none"][aria-pressed="true"]');
  assert.match(await page.locator('#told').textContent(), /^Saved as none\/.*mnist train passes over/);
  assert.deepEqual((await readdir(collected)).sort(), ['4', 'none']);
  for (const [label, digit] of [['4', 4], ['none', 6]]) {
    const [file, ...more] = await readdir(join(collected, label));
    assert.deepEqual(more, []);
    const predicted = JSON.parse(await mnist('predict', '--weights', 'released', '--json', join(collected, label, file)));
    assert.equal(predicted.label, digit);
  }
});

test('corrections train a network', async (t) => {
  const where = await folder(t);
  const { url } = await serve(t, '--collect', join(where, 'mine'));
  const page = await open(t, browser, url);
  for (let digit = 0; digit < 10; digit++) {
    await write(page, digit);
    await settled(page);
    await page.click(`#labels [value="${digit}"]`);
    await page.waitForSelector(`#labels [value="${digit}"][aria-pressed="true"]`);
    await page.click('#clear');
    await settled(page);
  }
  const output = join(where, 'mine.safetensors');
  const trained = mnist('train', '--data', join(where, 'mine'), '--test-split', '0.3', '--hidden', '16', '--epochs', '2', '--output', output);
  const why = await trained.then(() => '', (error) => error.message);
  if (why.includes('does not include libtorch')) return t.skip('a program without libtorch does not train');
  assert.equal(why, '');
  const { configuration } = JSON.parse(await readFile(output.replace('safetensors', 'json'), 'utf8'));
  assert.match(configuration.data, /mine/);
});

test('without a folder for corrections the page says how to keep them', async (t) => {
  const { url } = await serve(t);
  const page = await open(t, browser, url);
  await write(page, 8);
  await settled(page);
  await page.click('#labels [value="3"]');
  assert.match(await page.locator('#told').textContent(), /mnist serve --collect DIR/);
  assert.equal(await page.evaluate(() => window.exchanges.some(({ path }) => path.startsWith('/collect'))), false);
});

test('the page weighs little and is loaded in one go', async (t) => {
  const { url } = await serve(t);
  const page = await open(t, browser, url);
  const loaded = await page.evaluate(() =>
    [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
      .map(({ name, decodedBodySize, initiatorType }) => ({ name, decodedBodySize, initiatorType })));
  const files = loaded.filter(({ name }) => !name.endsWith('/weights'));
  const bytes = files.reduce((sum, { decodedBodySize }) => sum + decodedBodySize, 0);
  assert.ok(bytes > 10_000 && bytes <= MAX_BYTES, `${bytes} bytes`);
  // Every module is named by the page itself: none waits for another to name it.
  const html = await (await fetch(url)).text();
  const modules = files.map(({ name }) => name.split('/').pop()).filter((name) => name.endsWith('.js'));
  assert.ok(modules.length > 3);
  for (const name of modules) assert.ok(html.includes(`"modulepreload" href="${name}"`), name);
});

test('while the program is away the page says so, and goes on once it is back', async (t) => {
  const first = await serve(t);
  const page = await open(t, browser, first.url, { forgive: /ERR_CONNECTION_REFUSED/ });
  await first.stop();
  await write(page, 2);
  await page.waitForSelector('#notice:not([hidden])');
  // With other weights, by a name that the page does not know yet.
  const other = join(await folder(t), 'mine.safetensors');
  await writeFile(other, await readFile(join(ROOT, 'models/released.safetensors')));
  await serve(t, '--listen', new URL(first.url).host, '--weights', other);
  await page.waitForSelector('#digits .read', { timeout: 20_000 });
  await settled(page);
  assert.equal(await page.locator('#notice').isVisible(), false);
  assert.equal(await readOf(page), '2');
  assert.match(await page.locator('#weights-name').textContent(), /^mine/);
});

/** What axe finds wrong with the page as it is. */
async function accessible(page, where) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() =>
    window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
  assert.deepEqual(violations.map(({ id, nodes }) => [where, id, nodes.map((node) => node.html)]), []);
}

for (const [name, options] of [
  ['light', { colorScheme: 'light' }],
  ['dark', { colorScheme: 'dark' }],
  ['a phone', PHONE],
  ['a dark phone', { ...PHONE, colorScheme: 'dark' }],
]) {
  test(`every screen is accessible and fits: ${name}`, async (t) => {
    const { url } = await serve(t);
    const page = await open(t, browser, url, options);
    const fits = async (where) => {
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${where} is too wide`);
      await accessible(page, where);
    };
    const back = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number));
    assert.equal(back.every((value) => value < 64), options.colorScheme === 'dark');
    await fits('empty');
    await writeAll(page, '38');
    await settled(page);
    await fits('drawn');
    await page.click('#weights-open');
    await page.locator('#weights summary').click();
    await fits('weights');
    await page.click('#weights-close');
    await page.click('#tab-photo');
    await fits('no image');
    await choose(page, PAGE);
    await fits('page');
  });
}

test('nothing moves for those who ask for less motion', async (t) => {
  const { url } = await serve(t);
  const moving = async (reducedMotion) => {
    const page = await open(t, browser, url, { reducedMotion });
    await page.evaluate(() => document.querySelector('#sheet').classList.add('busy'));
    await page.click('#tab-photo');
    await page.evaluate(() => (document.querySelector('#page').hidden = false));
    return page.evaluate(() => document.getAnimations().length);
  };
  assert.ok((await moving('no-preference')) > 0);
  assert.equal(await moving('reduce'), 0);
});
