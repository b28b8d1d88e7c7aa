// The `pusher` library of npm as an app's backend: its calls, their answers, and its errors.
// That events arrive is shown by the pusher-js suites, whose events all come from this library.

import { deepEqual, equal, match, ok } from 'node:assert/strict';
import http from 'node:http';
import { describe } from 'node:test';
import { apps } from '../host/apps.js';
import { answer, library } from '../host/backend.js';
import { openSetting } from '../host/in-node.js';
import { testsWithWorld } from '../host/with-world.js';
import { clients } from '../shared/clients.js';

const OK = { status: 200, body: {} };
const setting = await openSetting(clients['pusher-js-8']);
const test = testsWithWorld(setting);
const { port } = setting.site;

const status = async (call) => (await call).status;

describe('trigger', () => {
  test('answers an empty object', async (world) => {
    deepEqual(await world.backend().trigger(world.name(), 'event', {}), OK);
    deepEqual(await world.backend().trigger([world.name(), world.name()], 'event', {}), OK);
  });

  test('with info answers the counts of each channel', async (world) => {
    const [open, room] = [world.name(), world.name('presence-')];
    for (const id of ['ann', 'ann', 'bob']) await world.subscribe(await world.connect({ user: { id } }), room);
    await world.subscribe(await world.connect(), open);
    const info = 'user_count,subscription_count';
    deepEqual(await world.backend().trigger([open, room], 'event', {}, { info }), {
      status: 200,
      body: { channels: { [open]: { subscription_count: 1 }, [room]: { user_count: 2, subscription_count: 3 } } },
    });
  });

  test('takes 100 channels, not 101', async (world) => {
    const channels = Array.from({ length: 101 }, () => world.name());
    deepEqual(await world.backend().trigger(channels.slice(1), 'event', {}), OK);
    equal(await status(event(world, { channels })), 400);
  });

  test('an encrypted channel is refused among others', async (world) => {
    const channels = [world.name('private-encrypted-'), world.name()];
    equal(await status(event(world, { channels })), 400);
  });

  test('the same request with the same Idempotency-Key is carried out once', async (world) => {
    const name = world.name();
    const { seen } = await world.subscribe(await world.connect(), name);
    const post = (idempotencyKey, data) => rawEvent({ channels: [name], name: 'event', data }, idempotencyKey);
    const key = world.name();
    for (let times = 0; times < 3; times += 1) deepEqual(await post(key, '1'), OK);
    deepEqual(await post(world.name(), '2'), OK);
    deepEqual(await seen.next(), { event: 'event', data: 1 });
    deepEqual(await seen.next(), { event: 'event', data: 2 });
  });
});

describe('triggerBatch', () => {
  const item = (channel, rest) => ({ channel, name: 'event', data: {}, ...rest });

  test('answers an empty object', async (world) => {
    deepEqual(await world.backend().triggerBatch([item(world.name())]), OK);
  });

  test('with info answers a list in the order of the items', async (world) => {
    const [quiet, room] = [world.name(), world.name('presence-')];
    await world.subscribe(await world.connect({ user: { id: 'ann' } }), room);
    const batch = [item(quiet), item(room, { info: 'user_count' }), item(quiet, { info: 'subscription_count' })];
    const { body } = await world.backend().triggerBatch(batch);
    deepEqual(body, { batch: [{}, { user_count: 1 }, { subscription_count: 0 }] });
  });

  test('leaves out the socket named in an item', async (world) => {
    const name = world.name();
    const client = await world.connect();
    const { seen } = await world.subscribe(client, name);
    await world.backend().triggerBatch([
      item(name, { name: 'own', socket_id: client.connection.socket_id }),
      item(name, { name: 'other' }),
    ]);
    equal((await seen.next()).event, 'other');
  });

  test('encrypts for the encrypted channels', async (world) => {
    const name = world.name('private-encrypted-');
    const { seen } = await world.subscribe(await world.connect(), name);
    await world.backend().triggerBatch([item(world.name()), item(name, { data: { n: 1 } })]);
    deepEqual(await seen.next(), { event: 'event', data: { n: 1 } });
  });

  test('takes 10 events, not 11', async (world) => {
    const batch = (length) => Array.from({ length }, () => item(world.name()));
    deepEqual(await world.backend().triggerBatch(batch(10)), OK);
    equal(await status(world.backend().triggerBatch(batch(11))), 400);
  });

  test('with one bad item none is sent', async (world) => {
    const name = world.name();
    const { seen } = await world.subscribe(await world.connect(), name);
    equal(await status(world.backend().triggerBatch([item(name), item('no spaces')])), 400);
    await world.backend().trigger(name, 'marker', 1);
    deepEqual(await seen.next(), { event: 'marker', data: 1 });
  });
});

describe('channels', () => {
  const list = (world, params) => world.backend().get({ path: '/channels', params });

  test('lists what is occupied, by prefix', async (world) => {
    const [one, two] = [world.name('presence-list-'), world.name('list-')];
    const client = await world.connect({ user: { id: 'ann' } });
    for (const name of [one, two]) await world.subscribe(client, name);
    const { body } = await list(world);
    deepEqual([body.channels[one], body.channels[two]], [{}, {}]);
    deepEqual((await list(world, { filter_by_prefix: 'list-' })).body, { channels: { [two]: {} } });
    deepEqual((await list(world, { filter_by_prefix: 'nothing-' })).body, { channels: {} });
  });

  test('counts the users of presence channels', async (world) => {
    const name = world.name('presence-count-');
    for (const id of ['ann', 'ann', 'bob']) await world.subscribe(await world.connect({ user: { id } }), name);
    const params = { filter_by_prefix: 'presence-count-', info: 'user_count' };
    deepEqual((await list(world, params)).body, { channels: { [name]: { user_count: 2 } } });
  });

  test('counts no users without a presence prefix', async (world) => {
    const refusal = { status: 400, body: /^user_count may only be requested for presence channels/ };
    await refused(list(world, { info: 'user_count' }), refusal);
    await refused(list(world, { info: 'user_count', filter_by_prefix: 'private-' }), refusal);
  });

  test("leaves out the users' own channels", async (world) => {
    const id = world.name();
    const client = await world.connect({ user: { id } });
    client.signin();
    await world.subscribe(client, world.name());
    const { body } = await list(world);
    ok(!Object.keys(body.channels).some((name) => name.startsWith('#')));
  });
});

describe('one channel', () => {
  const channel = async (world, name, info) => {
    const { body } = await world.backend().get({ path: `/channels/${name}`, params: info && { info } });
    return body;
  };

  test('tells whether it is occupied, and its counts', async (world) => {
    const name = world.name('presence-');
    for (const id of ['ann', 'ann', 'bob']) await world.subscribe(await world.connect({ user: { id } }), name);
    deepEqual(await channel(world, name), { occupied: true });
    const counts = { occupied: true, user_count: 2, subscription_count: 3 };
    deepEqual(await channel(world, name, 'user_count,subscription_count'), counts);
  });

  test('tells that it is not occupied', async (world) => {
    const name = world.name('presence-');
    deepEqual(await channel(world, name), { occupied: false });
    const counts = { occupied: false, user_count: 0, subscription_count: 0 };
    deepEqual(await channel(world, name, 'user_count,subscription_count'), counts);
  });

  test('tells what is cached and for how long', async (world) => {
    const name = world.name('cache-');
    deepEqual(await channel(world, name, 'cache'), { occupied: false, cache: null });
    await world.backend().trigger(name, 'price', { n: 1 });
    const { cache, ...rest } = await channel(world, name, 'cache');
    deepEqual(rest, { occupied: false });
    equal(cache.data, '{"n":1}');
    ok(Number.isInteger(cache.ttl) && cache.ttl > 1700 && cache.ttl <= 1800, `ttl ${cache.ttl}`);
  });

  test('has no count of users and no cache where its kind has none', async (world) => {
    const path = `/channels/${world.name()}`;
    await refused(world.backend().get({ path, params: { info: 'user_count' } }), {
      status: 400,
      body: /^Cannot retrieve the user count unless the channel is a presence channel/,
    });
    await refused(world.backend().get({ path, params: { info: 'cache' } }), { status: 400, body: /./ });
  });
});

describe('users of a channel', () => {
  const users = (world, name) => world.backend().get({ path: `/channels/${name}/users` });

  test('are each named once', async (world) => {
    const name = world.name('presence-');
    for (const id of ['bob', 'ann', 'bob']) await world.subscribe(await world.connect({ user: { id } }), name);
    const { body } = await users(world, name);
    deepEqual(body.users.map(({ id }) => id).sort(), ['ann', 'bob']);
  });

  test('are none where nobody is', async (world) => {
    deepEqual(await users(world, world.name('presence-')), { status: 200, body: { users: [] } });
  });

  test('exist on presence channels only', async (world) => {
    equal(await status(users(world, world.name('private-'))), 400);
  });
});

describe('users', () => {
  test('sending to and terminating a user who is not there is no error', async (world) => {
    deepEqual(await world.backend().sendToUser(world.name(), 'greet', {}), OK);
    deepEqual(await world.backend().terminateUserConnections(world.name()), OK);
  });

  test('a user id that the library has to escape in the path keeps its signature', async (world) => {
    deepEqual(await world.backend().terminateUserConnections('u 1 ä'), OK);
  });
});

describe('the library signs', () => {
  test('a channel, so that the client is let in', async (world) => {
    const name = world.name('private-');
    const client = await world.connect({
      channelAuthorization: {
        customHandler: ({ socketId, channelName }, callback) =>
          callback(null, library('main', port).authorizeChannel(socketId, channelName)),
      },
    });
    await world.subscribe(client, name);
  });

  test('a user, so that the client is signed in', async (world) => {
    const id = world.name();
    const client = await world.connect({
      userAuthentication: {
        customHandler: ({ socketId }, callback) =>
          callback(null, library('main', port).authenticateUser(socketId, { id })),
      },
    });
    client.signin();
    await client.user.signinDonePromise;
    equal(client.user.user_data.id, id);
  });
});

describe('errors', () => {
  const trigger = (options) => answer(library('main', port, options).trigger('channel', 'event', {}));

  test('401 for a wrong secret, telling what was to be signed', async () => {
    const body = /^Invalid signature.*POST\\n\/apps\/1001\/events\\n/;
    await refused(trigger({ secret: 'wrong' }), { status: 401, body });
  });

  test('401 for an unknown key', async () => {
    await refused(trigger({ key: 'key-of-nobody' }), { status: 401, body: /^Unknown auth_key/ });
  });

  test("401 for another app's key", async () => {
    const { key, secret } = apps.plain;
    equal(await status(trigger({ key, secret })), 401);
  });

  test('401 for a clock that is more than 600 s off', async (world, t) => {
    const now = Date.now();
    for (const seconds of [-610, 610]) {
      t.mock.method(Date, 'now', () => now + seconds * 1000);
      const call = trigger();
      t.mock.restoreAll();
      await refused(call, { status: 401, body: /^Timestamp expired/ });
    }
  });

  test('404 for an unknown app id', async () => {
    equal(await status(trigger({ appId: '999999' })), 404);
  });

  test('403 for a disabled app', async (world) => {
    equal(await status(world.backend({ app: 'disabled' }).trigger('channel', 'event', {})), 403);
  });

  test('413 for data above the limit', async (world) => {
    const trigger = (length) => world.backend({ app: 'small' }).trigger('channel', 'event', 'x'.repeat(length));
    deepEqual(await trigger(100), OK);
    await refused(trigger(101), { status: 413, body: /exceeds the allowed maximum \(100 bytes\)/ });
  });

  const malformed = {
    'no name': { name: undefined },
    'a name that is not text': { name: 12 },
    'a name above 200 characters': { name: 'x'.repeat(201) },
    'a reserved name': { name: 'pusher:hello' },
    'an internal name': { name: 'pusher_internal:member_added' },
    'no data': { data: undefined },
    'no channel': { channels: undefined },
    'an empty list of channels': { channels: [] },
    'a channel name with a space': { channels: ['no spaces'] },
    'a channel name above 200 characters': { channels: ['x'.repeat(201)] },
    'a malformed socket id': { socket_id: '1.2.3' },
  };
  for (const [what, change] of Object.entries(malformed)) {
    test(`400 for ${what}`, async (world) => {
      equal(await status(event(world, change)), 400);
    });
  }
});

test('one connection serves many calls', async () => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const sockets = new Set();
  const connect = agent.createConnection.bind(agent);
  agent.createConnection = (...args) => {
    const socket = connect(...args);
    sockets.add(socket);
    return socket;
  };
  const kept = library('main', port, { agent });
  for (let calls = 0; calls < 5; calls += 1) {
    deepEqual(await answer(kept.trigger('channel', 'event', {})), OK);
    deepEqual(await answer(kept.get({ path: '/channels', params: { filter_by_prefix: 'nothing-' } })), {
      status: 200,
      body: { channels: {} },
    });
  }
  agent.destroy();
  equal(sockets.size, 1);
});

/** Posts a proper event with some change that the library itself would not let through. */
function event(world, change) {
  const proper = { name: 'event', data: '{}', channels: ['channel'] };
  return world.backend().post({ path: '/events', body: { ...proper, ...change } });
}

/** Posts an event with a header that the library cannot send. */
function rawEvent(content, idempotencyKey) {
  const { id } = apps.main;
  const body = JSON.stringify(content);
  const path = `/apps/${id}/events`;
  const query = library('main', port).createSignedQueryString({ method: 'POST', path, body });
  const headers = { 'Content-Type': 'application/json', 'Idempotency-Key': idempotencyKey };
  return answer(fetch(`http://127.0.0.1:${port}${path}?${query}`, { method: 'POST', headers, body }));
}

async function refused(call, { status, body }) {
  const got = await call;
  equal(got.status, status);
  match(got.body, body);
}
