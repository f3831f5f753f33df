// The program's HTTP interface.

import { say } from './text.js';

const MAX_TRIES = 4;

/** A request that failed, with a sentence for people; `away` where nothing answered. */
export class Failure extends Error {
  constructor(message, { away = false } = {}) {
    super(message);
    this.away = away;
  }
}

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

async function ask(path, options) {
  for (let tries = 1; ; tries++) {
    let response;
    try {
      response = await fetch(path, options);
    } catch (error) {
      if (error.name === 'AbortError') throw error;
      throw new Failure(say.away, { away: true });
    }
    if (response.status === 503 && tries < MAX_TRIES) {
      await pause(Number(response.headers.get('Retry-After')) || 1);
      continue;
    }
    const body = await response.json().catch((error) => {
      if (error.name === 'AbortError') throw error;
      // An answer that broke off.
      if (response.ok) throw new Failure(say.away, { away: true });
    });
    if (!response.ok) throw new Failure(body?.error ?? say.failed(response.status));
    return body;
  }
}

const post = (path, body, signal) =>
  ask(path, { method: 'POST', body, signal, headers: { 'Content-Type': body.type || 'application/octet-stream' } });

/** The weights that the program has, and what else it does. */
export const weights = () => ask('/weights');

/** Reads `image`, a blob, with the weights of that name, or the default ones, and says why. */
export const explain = (image, name, signal) =>
  post(name ? `/explain?weights=${encodeURIComponent(name)}` : '/explain', image, signal);

/** Saves `image` under a label, `0` to `9` or `none`. */
export const collect = (image, label) => post(`/collect?label=${label}`, image);

/** Resolves once the program answers. */
export async function returned() {
  for (;;) {
    await pause(1);
    try {
      if ((await fetch('/health/live')).ok) return;
    } catch {
      // Not yet.
    }
  }
}

/** Bytes from base64. */
export const bytes = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
