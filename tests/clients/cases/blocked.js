// Networks in which websockets do not get through. These cases name their transports themselves.

import { same } from '../shared/expect.js';
import { pause, until } from '../shared/recorder.js';

export const needs = 'proxy';

export const cases = {
  async 'through a proxy that breaks upgrades the default transports connect and carry every kind of channel'(world) {
    const { port } = await world.proxy();
    const options = (id) => ({ port, enabledTransports: undefined, user: { id } });
    const [ann, bob] = await Promise.all([world.connect(options('ann')), world.connect(options('bob'))]);
    same(transport(ann), 'xhr_streaming');
    for (const prefix of ['', 'private-', 'private-encrypted-', 'cache-']) {
      const name = world.name(prefix);
      await world.backend().trigger(name, 'before', 0);
      const { seen } = await world.subscribe(ann, name);
      if (prefix === 'cache-') same(await seen.next(), { event: 'before', data: 0 });
      await world.backend().trigger(name, 'hello', { n: 'ü 🛎️' });
      same(await seen.next(), { event: 'hello', data: { n: 'ü 🛎️' } });
    }
    const name = world.name('presence-');
    const first = await world.subscribe(ann, name);
    const second = await world.subscribe(bob, name);
    same((await first.seen.next()).data.id, 'bob');
    second.channel.trigger('client-hello', { n: 1 });
    same(await first.seen.next(), { event: 'client-hello', data: { n: 1 } });
    bob.disconnect();
    same((await first.seen.next()).event, 'pusher:member_removed');
  },

  async 'without the disabled transports a client takes the one that is left'(world) {
    const disabled = { xhr_polling: ['ws', 'wss', 'xhr_streaming'], xhr_streaming: ['ws', 'wss', 'xhr_polling'] };
    for (const [left, disabledTransports] of Object.entries(disabled)) {
      const client = await world.connect({ enabledTransports: undefined, disabledTransports });
      same(transport(client), left);
      const name = world.name();
      const { seen } = await world.subscribe(client, name);
      await world.backend().trigger(name, 'hello', 1);
      same(await seen.next(), { event: 'hello', data: 1 });
    }
  },

  async 'an idle client of a fallback pings and keeps its connection'(world) {
    for (const transport of ['xhr_streaming', 'xhr_polling']) {
      const enabledTransports = [transport];
      const client = await world.connect({ enabledTransports, activityTimeout: 100, pongTimeout: 500 });
      const socketId = client.connection.socket_id;
      // Long enough for two pings that are not answered to cost it the connection.
      await pause(1500);
      same(client.connection.socket_id, socketId, 'socket id');
      client.disconnect();
    }
  },

  async 'reports on how connecting went are answered where a page turns them on'(world) {
    const { port, answered } = await world.proxy();
    await world.connect({ enableStats: true, disableStats: false, statsHost: `${world.site.host}:${port}` });
    const report = ({ url }) => url.startsWith('/timeline/v2/');
    const { status } = await until('the report', async () => (await answered()).find(report));
    same(status, 200);
  },
};

function transport(client) {
  return client.connection.connection.transport.name;
}
