// `external/pusher/{brand}/user-auth`: who signs in, and as whom; and pusher-js told of both endpoints, in all its words.

import { deepEqual, equal } from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, afterEach, describe, test } from 'node:test';
import { answer } from '../host/backend.js';
import { brands } from '../host/brands.js';
import { openBrowser } from '../host/browser.js';
import { appOf, Inbox } from '../host/inbox.js';
import { askToSign, forbidden, NO_CALLBACKS, signature, signed, signedByScript, SOCKET } from '../host/signing.js';
import { clients } from '../shared/clients.js';
import { until } from '../shared/recorder.js';
import * as inNode from '../shared/visit.js';

const require = createRequire(import.meta.url);
const inbox = await Inbox.open();
const browser = await openBrowser();
after(async () => {
  await browser.close();
  await inbox.close();
});

function authenticate(visitor, { socket = SOCKET, ...changes } = {}) {
  return askToSign(visitor, { path: '/user-auth', form: { socket_id: socket }, ...changes });
}

/** As whom a visitor signs in: the app may have a user of its own whose id is the number. */
function userId({ channel }) {
  return channel.replace('private-', '');
}

function userAuth(visitor) {
  const user_data = `{"id":"${userId(visitor)}"}`;
  return { auth: signature(visitor.brand.name, `${SOCKET}::user::${user_data}`), user_data };
}

describe('the own user is signed', () => {
  for (const method of ['POST', 'GET']) {
    for (const kind of ['sid', 'token']) {
      for (const [where, url] of Object.entries({ 'below the brand': undefined, 'at the root': inbox.server.url })) {
        test(`${method}, ${kind}, ${where}`, async () => {
          const visitor = await inbox.visitor();
          signed(await authenticate(visitor, { method, token: visitor[kind], url }), userAuth(visitor));
        });
      }
    }
  }

  test('by JSONP, as a script that calls what the library named', async () => {
    const visitor = await inbox.visitor();
    const jsonp = "Pusher.auth_callbacks['12']";
    signedByScript(await authenticate(visitor, { method: 'JSONP', jsonp }), jsonp, userAuth(visitor));
  });

  test('whoever the form says it is', async () => {
    const [visitor, other] = [await inbox.visitor(), await inbox.visitor()];
    const form = { socket_id: SOCKET, id: userId(other), user_data: `{"id":"${userId(other)}"}` };
    signed(await authenticate(visitor, { form }), userAuth(visitor));
  });
});

describe('forbidden', () => {
  const refused = (what, changes, reason) => {
    for (const method of ['POST', 'GET']) {
      test(`${what} (${method})`, async () => {
        const visitor = await inbox.visitor();
        const lines = inbox.server.log.length;
        forbidden(await authenticate(visitor, { method, ...changes(visitor) }));
        const told = () => inbox.server.log.slice(lines).some((line) => line.includes(reason) && line.includes('user-auth'));
        await until('the reason in the log', told);
      });
    }
  };

  const foreign = 'authToken is neither a token nor a sid';
  const birch = `${inbox.server.url}/b/birch`;
  refused("another brand's name", () => ({ brand: 'birch' }), 'the path names two brands');
  refused("another brand's name, at the root", () => ({ brand: 'birch', url: inbox.server.url }), foreign);
  refused("another brand's name and prefix", () => ({ brand: 'birch', url: birch }), foreign);
  refused("the same by token", ({ token }) => ({ brand: 'birch', url: birch, token }), foreign);
  refused('an unknown brand', () => ({ brand: 'nobody' }), 'unknown brand');
  refused('a socket id that would sign another text', () => ({ socket: '1.1::user::{"id":"1"}' }), 'socket_id');
  refused('no socket id', () => ({ socket: '' }), 'socket_id');
  refused('no token', () => ({ token: null }), 'authToken is missing');
  refused('a token that nobody has', () => ({ token: 'f'.repeat(64) }), foreign);
  refused('an api key', () => ({ token: brands.acorn.apiKey }), foreign);

  test('where the app has signing in off', async () => {
    const visitor = await inbox.visitor({ brand: 'birch' });
    forbidden(await authenticate(visitor));
    await until('the reason', async () => inbox.server.log.some((line) => line.includes('user_authentication off')));
  });

  test('a callback that is not of pusher-js is not called', async () => {
    const visitor = await inbox.visitor();
    for (const jsonp of NO_CALLBACKS) forbidden(await authenticate(visitor, { method: 'JSONP', jsonp }));
  });
});

/** What the endpoints of a visitor are called in the options of each pusher-js, over this transport. */
const words = {
  'channelAuthorization and userAuthentication': ({ channel, user }, transport) => ({
    channelAuthorization: { endpoint: channel, transport },
    userAuthentication: { endpoint: user, transport },
  }),
  'authEndpoint and authTransport, and userAuthentication': ({ channel, user }, transport) => ({
    authEndpoint: channel,
    authTransport: transport,
    userAuthentication: { endpoint: user, transport },
  }),
  'authEndpoint and authTransport': ({ channel }, transport) => ({ authEndpoint: channel, authTransport: transport }),
};
const [inNewWords, inBothWords, inOldWords] = Object.keys(words);

const pages = [];
afterEach(async () => {
  inNode.leave();
  for (const { close } of pages.splice(0)) await close();
});

/** A place in which a pusher-js runs: gives `call(name, argument)` for what `shared/visit.js` exports. */
const places = {
  async Node(clientName) {
    const Pusher = require(clients[clientName].package);
    return (name, ...args) => inNode[name](...(name === 'visit' ? [Pusher] : []), ...args);
  },
  async Chromium(clientName) {
    const opened = await browser.open('/tests/clients/host/blank.html');
    pages.push(opened);
    await opened.page.addScriptTag({ url: clients[clientName].script });
    return (name, ...args) =>
      opened.page.evaluate(
        async ([name, args]) => {
          const visit = await import('/tests/clients/shared/visit.js');
          return visit[name](...(name === 'visit' ? [window.Pusher] : []), ...args);
        },
        [name, args],
      );
  },
};

function options({ fusionUrl, brand, token }, word, transport) {
  const base = `${fusionUrl}/external/pusher/${brand.name}`;
  const endpoints = { channel: `${base}?authToken=${token}`, user: `${base}/user-auth?authToken=${token}` };
  return {
    wsHost: '127.0.0.1',
    wsPort: inbox.server.port,
    forceTLS: false,
    disableStats: true,
    enabledTransports: ['ws'],
    cluster: brand.region,
    ...words[word](endpoints, transport),
  };
}

/** Opens a page that gets its channel's events; what else `call` does is in `shared/visit.js`. */
async function visit(visitor, place, clientName, word, transport) {
  const call = await places[place](clientName);
  const key = appOf(visitor.brand.name).key;
  await call('visit', { key, channelName: visitor.channel, options: options(visitor, word, transport) });
  await inbox.notify(visitor, { title: `by ${transport}` });
  equal((await call('nextOfChannel')).data.Title, `by ${transport}`);
  return call;
}

describe('pusher-js', () => {
  for (const [place, transport] of [['Node', 'ajax'], ['Chromium', 'ajax'], ['Chromium', 'jsonp']]) {
    for (const word of [inNewWords, inBothWords]) {
      test(`8 in ${place} by ${transport}, told by ${word}: channel, user, their events, their end`, async () => {
        const [visitor, other] = [await inbox.visitor(), await inbox.visitor()];
        const call = await visit(visitor, place, 'pusher-js-8', word, transport);
        deepEqual(JSON.parse(await call('signIn')), { id: userId(visitor) });

        const backend = inbox.library('acorn');
        for (const id of [userId(other), String(visitor.userId)]) await backend.sendToUser(id, 'greet', { n: 0 });
        await backend.sendToUser(userId(visitor), 'greet', { n: 1 });
        deepEqual(await call('nextOfUser'), { event: 'greet', data: { n: 1 } });

        equal((await answer(backend.terminateUserConnections(userId(visitor)))).status, 200);
        equal(await call('ended'), 4009);
      });
    }
    for (const clientName of ['pusher-js-8', 'pusher-js-5']) {
      test(`${clientName} in ${place} by ${transport}, told by ${inOldWords}: its channel`, async () => {
        await visit(await inbox.visitor(), place, clientName, inOldWords, transport);
      });
    }
  }

  test('is told of a refused signin by ajax', async () => {
    // Its app has signing in off.
    const visitor = await inbox.visitor({ brand: 'birch' });
    const call = await visit(visitor, 'Node', 'pusher-js-8', inNewWords, 'ajax');
    equal(await call('refusedSignIn'), 403);
  });

  test('is told of no refusal by JSONP, and the page goes on', async () => {
    const [visitor, other] = [await inbox.visitor(), await inbox.visitor()];
    const call = await visit(visitor, 'Chromium', 'pusher-js-8', inNewWords, 'jsonp');
    const lines = inbox.server.log.length;
    await call('tryToJoin', other.channel);
    const reason = `this login may join ${visitor.channel} and no other channel`;
    await until('the reason', async () => inbox.server.log.slice(lines).some((line) => line.includes(reason)));
    await inbox.notify(visitor, { title: 'goes on' });
    const isNext = async () => (await call('nextOfChannel')).data.Title === 'goes on';
    await until('the event', isNext);
    deepEqual(await call('refusals'), []);
    deepEqual(pages.at(-1).uncaught, []);
  });
});
