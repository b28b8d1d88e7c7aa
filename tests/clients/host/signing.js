// Asks `external/pusher/{brand}` for signatures, as pusher-js does, and knows what they should be.

import { deepEqual, equal, match } from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { FORM } from './fusion.js';
import { appOf } from './inbox.js';

export const SOCKET = '1234.5678';

/** What the app's key and secret make of a text. */
export function signature(brand, text) {
  const { key, secret } = appOf(brand);
  return `${key}:${createHmac('sha256', secret).update(text).digest('hex')}`;
}

/** Asks with the parameters of `form`; `jsonp` is the callback. `{status, type, nosniff, text}`, the body as it came. */
export async function askToSign(visitor, { path = '', form, method = 'POST', token = visitor.sid, ...changes }) {
  const { brand = visitor.brand.name, url = visitor.fusionUrl, jsonp } = changes;
  const fields = new URLSearchParams(form).toString();
  const query = token === null ? '' : `?authToken=${encodeURIComponent(token)}`;
  const address = `${url}/external/pusher/${brand}${path}${query}`;
  const ways = {
    POST: () => fetch(address, { method, body: fields, headers: { 'Content-Type': FORM }, redirect: 'manual' }),
    GET: () => fetch(`${address}${token === null ? '?' : '&'}${fields}`, { redirect: 'manual' }),
    // The library appends with a second question mark.
    JSONP: () => fetch(`${address}?callback=${encodeURIComponent(jsonp)}&${fields}`, { redirect: 'manual' }),
  };
  const { status, headers, ...response } = await ways[method]().then(async (answer) => ({
    status: answer.status,
    headers: answer.headers,
    text: await answer.text(),
  }));
  return { status, type: headers.get('content-type'), nosniff: headers.get('x-content-type-options'), ...response };
}

/** That an answer is this JSON. */
export function signed({ status, type, text }, expected) {
  equal(status, 200, text);
  match(type, /^application\/json\b/);
  deepEqual(JSON.parse(text), expected);
}

/** That an answer is a script which calls this callback with this JSON, and nothing else. */
export function signedByScript({ status, type, nosniff, text }, callback, expected) {
  equal(status, 200, text);
  match(type, /^application\/javascript\b/);
  equal(nosniff, 'nosniff');
  equal(text, `${callback}(${JSON.stringify(expected)});`);
}

/** That an answer says no, in a way that no page runs as a script. */
export function forbidden({ status, type, nosniff, text }) {
  equal(status, 403, text);
  match(type, /^application\/json\b/);
  equal(nosniff, 'nosniff');
  deepEqual(JSON.parse(text), { error: 'forbidden' });
}

/** Callbacks that pusher-js never names. */
export const NO_CALLBACKS = [
  'alert(1);x',
  'alert',
  'a</script>',
  'a b',
  '',
  "Pusher.auth_callbacks['x']",
  "Pusher.auth_callbacks['1'];alert('1']",
];
