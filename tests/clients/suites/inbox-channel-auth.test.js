// `external/pusher/{brand}`: who may subscribe to which channel.

import { deepEqual, equal, match } from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, describe, test } from 'node:test';
import { brands } from '../host/brands.js';
import { FORM } from '../host/fusion.js';
import { appOf, Inbox } from '../host/inbox.js';
import { record } from '../shared/recorder.js';

const SOCKET = '1234.5678';
const FORBIDDEN = { error: 'forbidden' };

const inbox = await Inbox.open();
after(() => inbox.close());

/** What the app's key and secret make of the channel; the lines are those of the documents. */
function signature(brand, channel) {
  const { key, secret } = appOf(brand);
  return `${key}:${createHmac('sha256', secret).update(`${SOCKET}:${channel}`).digest('hex')}`;
}

/** Asks as pusher-js does; `{status, headers, body}`, the body as it came. */
async function authorize(visitor, { method = 'POST', token = visitor.sid, ...changes } = {}) {
  const { brand = visitor.brand.name, channel = visitor.channel, socket = SOCKET } = changes;
  const { url = visitor.fusionUrl, jsonp } = changes;
  const form = new URLSearchParams({ socket_id: socket, channel_name: channel }).toString();
  const query = token === null ? '' : `?authToken=${encodeURIComponent(token)}`;
  const address = `${url}/external/pusher/${brand}${query}`;
  const ways = {
    POST: () => fetch(address, { method, body: form, headers: { 'Content-Type': FORM }, redirect: 'manual' }),
    GET: () => fetch(`${address}${token === null ? '?' : '&'}${form}`, { redirect: 'manual' }),
    // The library appends with a second question mark.
    JSONP: () => fetch(`${address}?callback=${encodeURIComponent(jsonp)}&${form}`, { redirect: 'manual' }),
  };
  const response = await ways[method]();
  return { status: response.status, type: response.headers.get('content-type'), text: await response.text() };
}

function signed({ status, type, text }, visitor) {
  equal(status, 200, text);
  match(type, /^application\/json\b/);
  deepEqual(JSON.parse(text), { auth: signature(visitor.brand.name, visitor.channel) });
}

function forbidden({ status, type, text }) {
  equal(status, 403, text);
  match(type, /^application\/json\b/);
  deepEqual(JSON.parse(text), FORBIDDEN);
}

describe('the own channel is signed', () => {
  for (const brand of Object.keys(brands)) {
    for (const method of ['POST', 'GET']) {
      for (const kind of ['sid', 'token']) {
        test(`${method}, ${kind}, brand ${brand}`, async () => {
          const visitor = await inbox.visitor({ brand });
          signed(await authorize(visitor, { method, token: visitor[kind] }), visitor);
        });
      }
    }
    test(`at the root, brand ${brand}`, async () => {
      const visitor = await inbox.visitor({ brand });
      for (const token of [visitor.sid, visitor.token]) {
        signed(await authorize(visitor, { url: inbox.server.url, token }), visitor);
      }
    });
  }

  test('by JSONP, as a script that calls what the library named', async () => {
    const visitor = await inbox.visitor();
    const jsonp = "Pusher.auth_callbacks['1']";
    const { status, type, text } = await authorize(visitor, { method: 'JSONP', jsonp });
    equal(status, 200, text);
    match(type, /^application\/javascript\b/);
    const auth = JSON.stringify({ auth: signature('acorn', visitor.channel) });
    equal(text.replace(/;?\s*$/, ''), `${jsonp}(${auth})`);
  });

  test('and pusher-js subscribes, by sid and by token', async () => {
    const visitor = await inbox.visitor();
    for (const authToken of [visitor.sid, visitor.token]) await visitor.listen({ authToken });
  });
});

describe('forbidden', () => {
  for (const method of ['POST', 'GET']) {
    const refused = (what, changes) =>
      test(`${what} (${method})`, async () => {
        const visitor = await inbox.visitor();
        const other = await inbox.visitor();
        const foreign = await inbox.visitor({ brand: 'birch' });
        forbidden(await authorize(visitor, { method, ...changes({ visitor, other, foreign }) }));
      });

    refused('the channel of somebody else', ({ other }) => ({ channel: other.channel }));
    refused('the channel of somebody of another brand', ({ foreign }) => ({ channel: foreign.channel }));
    refused('the own number in another brand', ({ visitor }) => ({ channel: `private-prisma-8-${visitor.userId}` }));
    refused("another brand's name", () => ({ brand: 'birch' }));
    refused("another brand's name, at the root", () => ({ brand: 'birch', url: inbox.server.url }));
    refused("another brand's name and prefix", () => ({ brand: 'birch', url: `${inbox.server.url}/b/birch` }));
    refused("another brand's name and prefix, by token", ({ visitor }) => ({
      brand: 'birch',
      url: `${inbox.server.url}/b/birch`,
      token: visitor.token,
    }));
    refused("another brand's prefix, by token", ({ visitor }) => ({
      url: `${inbox.server.url}/b/birch`,
      token: visitor.token,
    }));
    refused('an unknown brand', () => ({ brand: 'nobody' }));
    refused('a channel that begins like the own', ({ visitor }) => ({ channel: `${visitor.channel}1` }));
    refused('a channel with another spelling of the own', ({ visitor }) => ({
      channel: visitor.channel.replace('-7-', '-07-'),
    }));
    refused('another private channel', () => ({ channel: 'private-orders' }));
    refused('a presence channel', ({ visitor }) => ({ channel: visitor.channel.replace('private', 'presence') }));
    refused('no channel', () => ({ channel: '' }));
    refused('a socket id that would sign another text', () => ({ socket: '1.1:private-orders' }));
    refused('no socket id', () => ({ socket: '' }));
    refused('no token', () => ({ token: null }));
    refused('an empty token', () => ({ token: '' }));
    refused('a token that nobody has', () => ({ token: 'f'.repeat(64) }));
    refused('an api key', () => ({ token: brands.acorn.apiKey }));
    refused('a token in capitals', ({ visitor }) => ({ token: swapCase(visitor.token) }));
  }

  test('a callback that is more than a name is not called', async () => {
    const visitor = await inbox.visitor();
    for (const jsonp of ['alert(1);x', 'a</script>', 'a b', '']) {
      const { status, text } = await authorize(visitor, { method: 'JSONP', jsonp });
      if (status === 200) throw new Error(`callback ${jsonp} got ${text}`);
    }
  });

  test('while the operator cannot be asked', async () => {
    const visitor = inbox.stranger();
    inbox.operators.acorn.fail(visitor.sid, 'drop');
    forbidden(await authorize(visitor, { channel: 'private-prisma-7-1' }));
  });
});

function swapCase(text) {
  return text.replace(/[a-z]/gi, (letter) =>
    letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase(),
  );
}

test('pusher-js is told of the refusal', async () => {
  const [visitor, other] = [await inbox.visitor(), await inbox.visitor()];
  let refusal;
  await visitor.listen({ channel: other.channel }).catch((error) => (refusal = error.message));
  match(refusal, /status 403/);
});

test("a signature of the own channel does not open somebody else's", async () => {
  const [visitor, other] = [await inbox.visitor(), await inbox.visitor()];
  const client = visitor.open();
  await record(client.connection, 'connected').next();
  const frames = record(client.connection, 'message');
  const { text } = await authorize(visitor, { socket: client.connection.socket_id });
  const { auth } = JSON.parse(text);
  client.send_event('pusher:subscribe', { channel: other.channel, auth });
  equal((await frames.next()).data.event, 'pusher:subscription_error');
  client.send_event('pusher:subscribe', { channel: visitor.channel, auth });
  await frames.nextWhere(({ data }) => data.event === 'pusher_internal:subscription_succeeded');
});
