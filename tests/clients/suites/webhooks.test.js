// Webhooks as an unchanged backend gets them: accepted by the libraries, and all of them, in order, whatever happens to
// the backend and to the server. WEBHOOKS says how many go through trouble; `make test-long` sends 100,000, and has the
// backend down for a minute.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import test, { after, describe } from 'node:test';
import { promisify } from 'node:util';
import Pusher from 'pusher-js';
import { apps } from '../host/apps.js';
import { Authority } from '../host/authority.js';
import { library } from '../host/backend.js';
import { Admin } from '../host/own-api.js';
import { python } from '../host/paths.js';
import { Receiver } from '../host/receiver.js';
import { Server, binary, environment } from '../host/server.js';
import { pause, until, within } from '../shared/recorder.js';

const WEBHOOKS = Number(process.env.WEBHOOKS ?? 10_000);
const DOWN_MS = Number(process.env.WEBHOOKS_DOWN_MS ?? 3_000);
const CHANNELS = 20;
// A backend that took nothing for a while is asked again within a minute.
const PATIENCE_MS = 70_000;
const run = promisify(execFile);

/** The server's configuration: the main app with these webhooks, each as lines of TOML. */
function toml(webhooks, { allow = ['127.0.0.1'], ca } = {}) {
  const { id, key, secret } = apps.main;
  return `[outbound]
allow = ${JSON.stringify(allow)}
timeout = 2
${ca === undefined ? '' : `ca = ${JSON.stringify(ca)}`}

[[apps]]
id = "${id}"
key = "${key}"
secret = "${secret}"
limits = { client_events_per_second = 0 }

${webhooks.map((lines) => `[[apps.webhooks]]\n${lines.join('\n')}`).join('\n\n')}
`;
}

const clients = new Set();

function connect(server, userId = 'ann') {
  const client = new Pusher(apps.main.key, {
    wsHost: '127.0.0.1', wsPort: server.port, forceTLS: false, enabledTransports: ['ws'], cluster: '',
    channelAuthorization: {
      customHandler: ({ socketId, channelName }, callback) =>
        callback(null, library('main', server.port).authorizeChannel(socketId, channelName, { user_id: userId })),
    },
  });
  clients.add(client);
  return client;
}

async function subscribe(client, name) {
  const channel = client.subscribe(name);
  const done = new Promise((resolve) => channel.bind('pusher:subscription_succeeded', resolve));
  await within(`a subscription to ${name}`, done);
  return channel;
}

function leaveAll() {
  for (const client of clients) client.disconnect();
  clients.clear();
}

/** Runs `tidings webhooks …` beside the server. */
async function webhooks(server, ...args) {
  const options = { cwd: server.directory, env: environment(), maxBuffer: 1 << 28 };
  const { stdout } = await run(binary, ['webhooks', ...args], options);
  return stdout;
}

async function listed(server, ...args) {
  const lines = await webhooks(server, 'list', '--json', ...args);
  return lines.split('\n').filter(Boolean).map((line) => JSON.parse(line));
}

/** Somebody who must not be connected to. */
async function canary(host) {
  const connections = [];
  const server = createServer((socket) => connections.push(socket.destroy()));
  server.listen(0, host);
  await once(server, 'listening');
  return { port: server.address().port, connections, close: () => server.close() };
}

describe('the libraries', async () => {
  const receiver = await Receiver.start('main');
  const server = await Server.start({
    // One URL with two filters, both of which mean the room.
    toml: toml(
      ['["presence-*", "private-*"]', '["cache-*", "*-room"]'].map((channels) => [
        `url = "${receiver.url}"`,
        `channels = ${channels}`,
        'headers = { Authorization = "Bearer of-the-backend" }',
      ]),
    ),
  });
  after(async () => {
    leaveAll();
    receiver.down();
    await server.stop();
  });

  test('take every kind of event', async () => {
    const client = connect(server);
    await subscribe(client, 'of-no-concern');
    await subscribe(client, 'cache-empty');
    const room = await subscribe(client, 'presence-room');
    room.trigger('client-hello', { n: 1 });
    await receiver.has(6);
    client.unsubscribe('presence-room');
    await receiver.has(8);
    const of = (channel) => receiver.events.filter((event) => event.channel === channel);
    const { socket_id } = of('presence-room').find(({ name }) => name === 'client_event');
    equal(socket_id, client.connection.socket_id);
    const channel = 'presence-room';
    deepEqual(of(channel).map(({ id, ...event }) => event), [
      { name: 'channel_occupied', channel },
      { name: 'member_added', channel, user_id: 'ann' },
      { name: 'client_event', channel, event: 'client-hello', data: '{"n":1}', socket_id, user_id: 'ann' },
      { name: 'member_removed', channel, user_id: 'ann' },
      { name: 'channel_vacated', channel },
    ]);
    deepEqual(of('cache-empty').map(({ name }) => name).sort(), ['cache_miss', 'channel_occupied', 'subscription_count']);
    equal(of('of-no-concern').length, 0);
    ok(receiver.requests.every(({ headers }) => headers.authorization === 'Bearer of-the-backend'));
    ok(receiver.requests.every(({ events }) => events.length === 1), 'without batch one at a time');
  });

  test('of Python takes them too', async () => {
    const { headers, body } = receiver.requests[0];
    const { id, key, secret } = apps.main;
    const code = `import json, sys, pusher
key, signature, body = json.load(sys.stdin)
client = pusher.Pusher(app_id="${id}", key="${key}", secret="${secret}")
print(json.dumps(client.validate_webhook(key, signature, body)))`;
    const running = run(python, ['-c', code]);
    running.child.stdin.end(JSON.stringify([headers['x-pusher-key'], headers['x-pusher-signature'], body]));
    deepEqual(JSON.parse((await running).stdout), JSON.parse(body));
  });
});

describe('over TLS', async () => {
  const [authority, namesake] = [await Authority.open(), await Authority.open()];
  const stranger = await Authority.open({ name: 'A stranger' });
  const certificate = async (by, options) => {
    await by.issue(options);
    return by.pair();
  };
  const good = await certificate(authority);
  const expired = await certificate(authority, { days: 0 });
  const { validTo } = new X509Certificate(expired.cert);
  await until('the end of the certificate', () => Date.parse(validTo) + 1000 < Date.now());
  const receivers = {
    good: await Receiver.start('main', good),
    untrusted: await Receiver.start('main', await certificate(stranger)),
    namesake: await Receiver.start('main', await certificate(namesake)),
    expired: await Receiver.start('main', expired),
    misnamed: await Receiver.start('main', await certificate(authority, { names: 'DNS:elsewhere.example' })),
  };
  const untrusted = /no authority that is believed has signed its certificate; `\[outbound\]` `ca` names more/;
  const reasons = {
    untrusted,
    namesake: untrusted,
    expired: /certificate expired/,
    misnamed: /not valid for name "127\.0\.0\.1".*elsewhere\.example/,
  };
  const webhooksToml = Object.values(receivers).map(({ url }) => [`url = "${url}"`, 'events = ["channel_occupied"]']);
  const server = await Server.start({ toml: toml(webhooksToml, { ca: authority.ca }) });
  after(async () => {
    leaveAll();
    for (const receiver of Object.values(receivers)) receiver.down();
    await server.stop();
    await authority.close();
    await namesake.close();
    await stranger.close();
  });

  test('who shows a certificate of the configured authority is told', async () => {
    await subscribe(connect(server), 'secured');
    await receivers.good.has(1);
    deepEqual(receivers.good.events.map(({ name, channel }) => [name, channel]), [['channel_occupied', 'secured']]);
  });

  test('who shows another is not, and the list and the log say why', async () => {
    const unlike = async () => {
      const waiting = await listed(server, '--waiting');
      return Object.entries(reasons).every(([name, reason]) =>
        waiting.some(({ url, last_error }) => url === receivers[name].url && reason.test(last_error)),
      );
    };
    await until('the reasons in the list', unlike);
    for (const [name, reason] of Object.entries(reasons)) {
      const isTold = (line) => line.includes('a receiver does not take webhooks') && reason.test(line.replaceAll('\\"', '"'));
      await until(`the log of ${name}`, async () => server.log.some(isTold), PATIENCE_MS);
      equal(receivers[name].asked, 0);
    }
  });

  test('it is tried again, and told once its certificate is good', async () => {
    for (const name of Object.keys(reasons)) receivers[name].show(good);
    for (const name of Object.keys(reasons)) {
      await receivers[name].has(1, PATIENCE_MS);
      deepEqual(receivers[name].events.map(({ channel }) => channel), ['secured']);
    }
    await until('the empty queue', async () => (await listed(server, '--waiting')).length === 0);
  });
});

describe('dead letters', async () => {
  const receiver = await Receiver.start('main');
  const server = await Server.start({ toml: toml([[`url = "${receiver.url}"`, 'events = ["channel_occupied"]']]) });
  after(async () => {
    leaveAll();
    receiver.down();
    await server.stop();
  });

  test('are listed, looked into and sent again', async () => {
    receiver.status(410);
    const asked = receiver.isAsked(1);
    await subscribe(connect(server), 'room');
    await asked;
    let dead = [];
    const listedInTime = async () => {
      while (dead.length === 0) dead = await listed(server);
    };
    await within('a dead letter', listedInTime());
    equal(dead.length, 1);
    const [letter] = dead;
    deepEqual([letter.event, letter.channel, letter.attempts], ['channel_occupied', 'room', 1]);
    equal(letter.last_error, 'it answered with status 410 Gone');
    deepEqual(letter.body, { name: 'channel_occupied', channel: 'room', id: letter.event_id });
    deepEqual(JSON.parse(await webhooks(server, 'show', String(letter.id), '--json')), letter);
    ok((await webhooks(server, 'list')).includes('0 waiting, 1 dead'));

    const admin = await Admin.open(server);
    deepEqual((await admin.askWell('GET', '/webhooks')).webhooks, [letter]);
    deepEqual(await admin.askWell('GET', `/webhooks/${letter.id}`), letter);
    deepEqual(await admin.askWell('POST', '/webhooks/replay?app=none'), { replayed: 0 });
    const again = receiver.isAsked(1);
    deepEqual(await admin.askWell('POST', `/webhooks/${letter.id}/replay`), { replayed: 1 });
    await again;
    await within('it to be dead again', (async () => {
      while ((await listed(server)).length === 0);
    })());

    receiver.behave('ok');
    equal(await webhooks(server, 'replay', String(letter.id)), '1 back in the queue\n');
    await receiver.has(1);
    equal(receiver.events[0].id, letter.event_id);
    equal(await webhooks(server, 'replay', '--all'), '0 back in the queue\n');
  });
});

describe('trouble', async () => {
  const receiver = await Receiver.start('main');
  const [inside, redirected] = [await canary('127.0.0.2'), await canary('127.0.0.1')];
  const server = await Server.start({
    toml: toml([
      [`url = "${receiver.url}"`, 'events = ["client_event"]', 'batch = true'],
      // In a network that is not allowed.
      [`url = "http://127.0.0.2:${inside.port}/"`, 'channels = ["private-0"]'],
    ]),
  });
  after(async () => {
    leaveAll();
    receiver.down();
    inside.close();
    redirected.close();
    await server.stop();
  });

  let sent = 0;
  const names = Array.from({ length: CHANNELS }, (_, n) => `private-${n}`);

  /** Has clients send so many events more, and waits until the queue or the backend has them. */
  async function send(count) {
    const client = connect(server);
    const channels = await Promise.all(names.map((name) => subscribe(client, name)));
    for (let n = 0; n < count; n += 1, sent += 1) channels[sent % CHANNELS].trigger('client-n', { n: sent });
    await stored();
    client.disconnect();
    clients.delete(client);
  }

  async function stored() {
    const left = async () => {
      const [line] = (await webhooks(server, 'list')).split('\n').filter((line) => line.includes(receiver.url));
      return Number(/(\d+) waiting/.exec(line ?? '0 waiting')[1]);
    };
    const all = async () => {
      for (;;) {
        // In this order: what is taken meanwhile is counted twice at most, never missed.
        const before = receiver.events.length;
        if (before + (await left()) >= sent) return;
        await pause(50);
      }
    };
    await within(`${sent} events in the queue`, all(), 60_000 + WEBHOOKS);
  }

  const resident = async () => Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${server.pid}/status`, 'utf8'))[1]);

  test(`${WEBHOOKS} webhooks: nothing lost, order kept, nothing fetched from within, memory flat`, async () => {
    const share = Math.floor(WEBHOOKS / 5);
    const began = performance.now();
    await send(share / 10);
    await receiver.has(sent);
    const atFirst = await resident();

    receiver.down();
    await send(2 * share);
    const withBacklog = await resident();
    await pause(DOWN_MS);
    await server.crash();
    await server.restart();

    receiver.slow(300);
    await receiver.up();
    await receiver.has(receiver.events.length + 100, PATIENCE_MS);
    receiver.status(500);
    await send(share);
    await receiver.isAsked(2, PATIENCE_MS);
    receiver.status(302, { Location: `http://127.0.0.1:${redirected.port}/` });
    await server.crash();
    await server.restart();
    await receiver.isAsked(2, PATIENCE_MS);
    await send(WEBHOOKS - sent);
    receiver.behave('endless');
    await receiver.has(receiver.events.length + 100, PATIENCE_MS);
    receiver.behave('ok');
    await receiver.has(receiver.events.length + 100, PATIENCE_MS);
    await server.crash();
    await server.restart();
    await receiver.has(WEBHOOKS, PATIENCE_MS + 2 * WEBHOOKS);
    const atLast = await resident();

    const last = new Map();
    const seen = new Set();
    for (const { channel, data } of receiver.events) {
      const { n } = JSON.parse(data);
      ok(!(last.get(channel) >= n), `${n} on ${channel} comes after ${last.get(channel)}`);
      last.set(channel, n);
      seen.add(n);
    }
    equal(seen.size, WEBHOOKS);
    const again = [...receiver.taken.values()].filter((times) => times > 1).length;
    ok(receiver.requests.some(({ events }) => events.length > 1), 'with batch several at a time');
    equal(inside.connections.length, 0, 'connections to an address that is not allowed');
    equal(redirected.connections.length, 0, 'connections to where a redirect led');
    const refused = await listed(server, '--waiting', '--limit', String(WEBHOOKS));
    ok(refused.some(({ url, last_error }) => url.includes('127.0.0.2') && last_error?.includes('[outbound] allow')));
    console.log(
      `${WEBHOOKS} webhooks in ${Math.round(performance.now() - began)} ms, ${again} of them twice; resident ` +
        `${atFirst} KiB at first, ${withBacklog} KiB with ${2 * share} waiting, ${atLast} KiB at last`,
    );
    ok(withBacklog - atFirst < 64 * 1024, 'a backlog is kept on disk');
    ok(atLast - atFirst < 64 * 1024, 'what went through has left nothing behind');
  });
});
