// The images of the page in the documentation: node screenshots.mjs, with MNIST and CHROMIUM as for the tests.

import { join } from 'node:path';
import { test } from 'node:test';

import { ROOT, choose, launch, open, serve, settled, writeAll } from './harness.mjs';

const images = (name) => join(ROOT, 'docs/images', name);

test('screenshots', async (t) => {
  const browser = await launch();
  t.after(() => browser.close());
  const { url } = await serve(t);

  const desk = await open(t, browser, url, { viewport: { width: 1180, height: 980 } });
  await writeAll(desk, '2075', { height: 0.45 });
  await settled(desk);
  await desk.mouse.move(0, 0);
  await desk.screenshot({ path: images('serve-draw.png') });

  const phone = await open(t, browser, url, { viewport: { width: 390, height: 780 }, isMobile: true, hasTouch: true, colorScheme: 'dark' });
  await choose(phone, 'tests/sheets/ruled_0.jpg');
  await phone.screenshot({ path: images('serve-page.png') });
});
