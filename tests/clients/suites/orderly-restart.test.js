// A server that is told to end tells its clients to come back after a second: by then it may have been started again. A
// client that finds nobody waits for 15 s more. The crash is a case of all.

import { deepEqual, equal } from 'node:assert/strict';
import { openSetting } from '../host/in-node.js';
import { testsWithWorld } from '../host/with-world.js';
import { clients } from '../shared/clients.js';
import { pusherError, record } from '../shared/recorder.js';

const test = testsWithWorld(await openSetting(clients['pusher-js-8']));

test('after an orderly restart the client comes back to its channel', async (world) => {
  const server = await world.ownServer();
  const { port } = server;
  const name = world.name('private-');
  const client = await world.connect({ port });
  const { seen } = await world.subscribe(client, name);
  const errors = record(client.connection, 'error');
  await server.quitAndComeBack(client);
  equal(pusherError(await errors.next()).code, 4100);
  equal((await seen.next()).event, 'pusher:subscription_succeeded');
  await world.backend({ port }).trigger(name, 'hello again', { n: 1 });
  deepEqual(await seen.next(), { event: 'hello again', data: { n: 1 } });
});
