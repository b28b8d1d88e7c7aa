import { matches, ok, same } from '../shared/expect.js';
import { pusherError, record, until } from '../shared/recorder.js';

export const cases = {
  async 'each connection gets a socket id of its own'(world) {
    const [one, two] = [await world.connect(), await world.connect()];
    matches(one.connection.socket_id, /^\d+\.\d+$/, 'socket id');
    matches(two.connection.socket_id, /^\d+\.\d+$/, 'socket id');
    ok(one.connection.socket_id !== two.connection.socket_id, 'two connections have one socket id');
  },

  async 'a ping is answered with a pong'(world) {
    const client = await world.connect();
    const messages = record(client.connection, 'message');
    client.send_event('pusher:ping', {});
    same((await messages.next()).data, { event: 'pusher:pong', data: {} });
  },

  async 'an unknown key is refused with 4001'(world) {
    await refused(world.open({ key: 'key-of-nobody' }), 4001);
  },

  async 'a disabled app is refused with 4003'(world) {
    await refused(world.open({ app: 'disabled' }), 4003);
  },

  async 'above the connection limit 4004, and a place that was left is free again'(world) {
    // A client of an earlier case may still be leaving the app's only place.
    const first = await until('the free place', () => admitted(world));
    await refused(world.open({ app: 'single' }), 4004);
    first.disconnect();
    await until('the place that was left', () => admitted(world));
  },
};

/** A client of the app with one place, or null if the place is taken. */
async function admitted(world) {
  const client = world.open({ app: 'single' });
  await record(client.connection, 'state_change').nextWhere(({ data }) => data.current !== 'connecting');
  return client.connection.state === 'connected' ? client : null;
}

/** The client learns the code, and will not come back by itself. */
async function refused(client, code) {
  const errors = record(client.connection, 'error');
  const states = record(client.connection, 'state_change');
  const error = pusherError(await errors.next());
  same(error.code, code, 'close code');
  ok(error.message.length > 0, 'the refusal says nothing');
  await states.nextWhere(({ data: { current } }) => current === 'disconnected');
}
