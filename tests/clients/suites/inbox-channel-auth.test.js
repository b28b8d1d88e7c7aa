// `external/pusher/{brand}`: who may subscribe to which channel.

import { equal, match } from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { brands } from '../host/brands.js';
import { Inbox } from '../host/inbox.js';
import { askToSign, forbidden, NO_CALLBACKS, signature, signed, signedByScript, SOCKET } from '../host/signing.js';
import { record } from '../shared/recorder.js';

const inbox = await Inbox.open();
after(() => inbox.close());

function authorize(visitor, { channel = visitor.channel, socket = SOCKET, ...changes } = {}) {
  return askToSign(visitor, { form: { socket_id: socket, channel_name: channel }, ...changes });
}

const channelAuth = ({ brand, channel }) => ({ auth: signature(brand.name, `${SOCKET}:${channel}`) });

describe('the own channel is signed', () => {
  for (const brand of Object.keys(brands)) {
    for (const method of ['POST', 'GET']) {
      for (const kind of ['sid', 'token']) {
        test(`${method}, ${kind}, brand ${brand}`, async () => {
          const visitor = await inbox.visitor({ brand });
          signed(await authorize(visitor, { method, token: visitor[kind] }), channelAuth(visitor));
        });
      }
    }
    test(`at the root, brand ${brand}`, async () => {
      const visitor = await inbox.visitor({ brand });
      for (const token of [visitor.sid, visitor.token]) {
        signed(await authorize(visitor, { url: inbox.server.url, token }), channelAuth(visitor));
      }
    });
  }

  test('by JSONP, as a script that calls what the library named', async () => {
    const visitor = await inbox.visitor();
    const jsonp = "Pusher.auth_callbacks['1']";
    signedByScript(await authorize(visitor, { method: 'JSONP', jsonp }), jsonp, channelAuth(visitor));
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

  test('a callback that is not of pusher-js is not called', async () => {
    const visitor = await inbox.visitor();
    for (const jsonp of NO_CALLBACKS) forbidden(await authorize(visitor, { method: 'JSONP', jsonp }));
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
