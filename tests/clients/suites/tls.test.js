// TLS: a page that names nothing but a cluster, both ports, certificates that are replaced under load, and the commands.

import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { apps, toml } from '../host/apps.js';
import { Authority } from '../host/authority.js';
import { answer, library } from '../host/backend.js';
import { openBrowser } from '../host/browser.js';
import { binary, environment, Server } from '../host/server.js';
import { clients } from '../shared/clients.js';
import { record, until, within } from '../shared/recorder.js';

const Pusher = createRequire(import.meta.url)('pusher-js');
const authority = await Authority.open();
await authority.issue();
await authority.believe();
const server = await Server.start({ toml: `${authority.toml({ port: 0 })}${toml()}` });
const port = server.tlsPort;
const backend = library('main', port, { useTLS: true });
after(async () => {
  await server.stop();
  await authority.close();
});

const CLIENTS = 25;

function connect() {
  const options = { wsHost: '127.0.0.1', wssPort: port, forceTLS: true, enabledTransports: ['ws'], cluster: '' };
  return new Pusher(apps.main.key, options);
}

test('a page that names a cluster and no host connects, where that name is mapped to the server', async () => {
  const browser = await openBrowser({
    args: [...(await authority.believedByChromium()), `--host-resolver-rules=MAP ws-mt1.pusher.com 127.0.0.1:${port}`],
  });
  try {
    const { page } = await browser.open('/tests/clients/host/blank.html');
    await page.addScriptTag({ url: clients['pusher-js-8'].script });
    const received = page.evaluate((key) => {
      const pusher = new window.Pusher(key, { cluster: 'mt1' });
      return new Promise((resolve) => {
        pusher.subscribe('by-cluster').bind('hello', (data) => resolve({ data, url: pusher.connection.connection?.transport?.socket?.url }));
        pusher.connection.bind('error', ({ error }) => resolve({ error: JSON.stringify(error) }));
      });
    }, apps.main.key);
    const subscribed = async () => (await answer(backend.get({ path: '/channels/by-cluster' }))).body.occupied;
    await until('the page to subscribe', subscribed);
    await backend.trigger('by-cluster', 'hello', { n: 1 });
    const { data, error } = await within('the event', received);
    equal(error, undefined);
    deepEqual(data, { n: 1 });
  } finally {
    await browser.close();
  }
});

test('the plain port serves as before, and TLS is not spoken there', async () => {
  const plain = library('main', server.port);
  equal((await answer(plain.trigger('both', 'hello', {}))).status, 200);
  equal((await answer(backend.trigger('both', 'hello', {}))).status, 200);
  await authority.shownAt(server.port).then(() => ok(false, 'TLS at the plain port'), (error) => match(error.code, /^E/));
});

test('a certificate is replaced under load: nobody is cut off, nothing is lost, who comes later sees the new one', async () => {
  const received = Array.from({ length: CLIENTS }, () => []);
  const unrest = [];
  const sockets = await Promise.all(
    received.map(async (events) => {
      const client = connect();
      const channel = client.subscribe('steady');
      await record(channel, 'pusher:subscription_succeeded').next();
      channel.bind('n', ({ n }) => events.push(n));
      client.connection.bind('state_change', ({ current }) => unrest.push(current));
      return client;
    }),
  );
  let sent = 0;
  let going = true;
  const load = (async () => {
    while (going) {
      equal((await answer(backend.trigger('steady', 'n', { n: sent }))).status, 200);
      sent += 1;
    }
  })();

  const before = await authority.shownAt(port);
  const serial = await authority.issue();
  ok(serial !== before);
  await until('the new certificate', async () => (await authority.shownAt(port)) === serial);

  // A key of another certificate is refused, and that of before is kept.
  const lines = server.log.length;
  await writeFile(authority.cert, 'no certificate\n');
  await until('the refusal', async () => server.log.slice(lines).some((line) => line.includes('the certificate was not taken')));
  ok(server.log.slice(lines).some((line) => line.includes('tls.cert') && line.includes('has no certificate in it')));
  equal(await authority.shownAt(port), serial);

  const last = await authority.issue();
  await until('the last certificate', async () => (await authority.shownAt(port)) === last);
  const goal = sent + 20;
  await until('events after it', async () => sent >= goal);
  going = false;
  await load;
  await until('the last event', async () => received.every((events) => events.length >= sent));
  const expected = Array.from({ length: sent }, (_, n) => n);
  for (const events of received) deepEqual(events, expected);
  deepEqual(unrest, []);
  for (const client of sockets) client.disconnect();
});

test('the commands reach a server by TLS, and say what to do where they do not believe it', async () => {
  const url = ['--url', `https://127.0.0.1:${port}`];
  const run = (...args) => promisify(execFile)(binary, args, { cwd: server.directory, env: environment() });
  const config = ['--config', 'tidings.toml', '--app', apps.main.id];
  const client = connect();
  const seen = record(client.subscribe('told'), 'hello');
  await within('the connection', new Promise((resolve) => client.connection.bind('connected', resolve)));
  await until('the subscription', async () => (await answer(backend.get({ path: '/channels/told' }))).body.occupied);
  await run('trigger', ...config, ...url, '--ca', authority.ca, 'told', 'hello', '{"n":1}');
  deepEqual((await seen.next()).data, { n: 1 });
  // The certificate itself is as good.
  await run('trigger', ...config, ...url, '--ca', authority.cert, 'told', 'hello', '{"n":2}');
  deepEqual((await seen.next()).data, { n: 2 });
  const refused = await run('trigger', ...config, ...url, 'told', 'hello', '{"n":3}').catch((error) => error);
  equal(refused.code, 3);
  match(refused.stderr, /cannot speak TLS with .*UnknownIssuer.*--ca/);

  const listening = run('subscribe', ...config, ...url, '--ca', authority.ca, '--count', '1', 'heard');
  await until('the command', async () => (await answer(backend.get({ path: '/channels/heard' }))).body.occupied);
  await backend.trigger('heard', 'hello', { n: 4 });
  match((await listening).stdout, /"event":"hello"/);
  client.disconnect();
});

test('the log says of a client that does not believe the certificate, and of one that does not speak TLS, why they went', async () => {
  const lines = server.log.length;
  const failed = (reason) => server.log.slice(lines).some((line) => line.includes('TLS handshake failed') && reason.test(line));
  // Node says nothing while it shakes hands, and goes; others, as browsers, send an alert.
  const distrust = `import socket, ssl
connection = socket.create_connection(('127.0.0.1', ${port}))
ssl.create_default_context().wrap_socket(connection, server_hostname='127.0.0.1')`;
  match(spawnSync('python3', ['-c', distrust]).stderr.toString(), /CERTIFICATE_VERIFY_FAILED/);
  await until('the line of who distrusts', async () => failed(/UnknownC[aA]/));
  await fetch(`http://127.0.0.1:${port}/`).then(() => ok(false, 'an answer without TLS'), () => {});
  await until('the line of plain HTTP', async () => failed(/corrupt|InvalidContentType/i));
});

test('the log says which subscription was refused, and why', async () => {
  const lines = server.log.length;
  const client = connect();
  const channel = client.subscribe('private-refused');
  await within('the refusal', record(channel, 'pusher:subscription_error').next());
  client.send_event('pusher:subscribe', { channel: 'private-refused', auth: `${apps.main.key}:0` });
  const isIt = (line) => ['subscription refused', 'private-refused', 'explain-auth'].every((word) => line.includes(word));
  await until('the line', async () => server.log.slice(lines).some(isIt));

  // What a member says of itself is nobody's but its channel's.
  const channel_data = JSON.stringify({ user_id: 'u', user_info: { name: 'somebody-private' } });
  client.send_event('pusher:subscribe', { channel: 'presence-refused', auth: `${apps.main.key}:0`, channel_data });
  await until('its line', async () => server.log.slice(lines).some((line) => line.includes('presence-refused')));
  ok(!server.log.some((line) => line.includes('somebody-private')));

  // A flood, with long names, costs the log little.
  const flood = server.log.length;
  const name = 'private-'.padEnd(1_500, 'x');
  for (let n = 0; n < 100; n += 1) client.send_event('pusher:subscribe', { channel: name, auth: '' });
  const answered = record(client.subscribe('afterwards'), 'pusher:subscription_succeeded');
  await within('the answer to what came after', answered.next());
  const told = server.log.slice(flood).filter((line) => line.includes('subscription refused'));
  ok(told.length > 0 && told.length < 50, `${told.length} lines of 100`);
  ok(told.every((line) => line.length < 1_000), 'short lines');
  client.disconnect();
});
