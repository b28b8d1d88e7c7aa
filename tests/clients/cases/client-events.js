import { matches, ok, same } from '../shared/expect.js';
import { pause, pusherError, record } from '../shared/recorder.js';

export const cases = {
  async 'a client event reaches the others and never its sender'(world) {
    const name = world.name('private-');
    const clients = await Promise.all([world.connect(), world.connect(), world.connect()]);
    const [sender, ...others] = await Promise.all(clients.map((client) => world.subscribe(client, name)));
    sender.channel.trigger('client-hello', { n: 1 });
    for (const { seen } of others) same(await seen.next(), { event: 'client-hello', data: { n: 1 } });
    await world.backend().trigger(name, 'marker', 1);
    same(await sender.seen.next(), { event: 'marker', data: 1 });
  },

  async 'data of any kind arrives as it was'(world) {
    const { sender, receiver } = await pair(world, 'private-');
    const values = [{ a: [1, { b: 'ü 🛎️' }] }, ['x'], 'plain text', 12, true, 'é'.repeat(4000)];
    for (const value of values) sender.channel.trigger('client-value', value);
    for (const value of values) same(await receiver.seen.next(), { event: 'client-value', data: value });
  },

  async 'on a presence channel the receiver learns who sent it'(world) {
    const { sender, receiver } = await pair(world, 'presence-');
    const hellos = record(receiver.channel, 'client-hello');
    sender.channel.trigger('client-hello', { n: 1 });
    same(await hellos.next(), { data: { n: 1 }, metadata: { user_id: 'sender' } });
  },

  async 'on a private channel it does not'(world) {
    const { sender, receiver } = await pair(world, 'private-');
    const hellos = record(receiver.channel, 'client-hello');
    sender.channel.trigger('client-hello', { n: 1 });
    same(await hellos.next(), { data: { n: 1 }, metadata: {} });
  },

  async 'on a public channel client events are refused'(world) {
    const { client, sender, receiver } = await pair(world, '');
    const errors = record(client.connection, 'error');
    sender.channel.trigger('client-hello', { n: 1 });
    await inBandError(errors, null, /./);
    await world.backend().trigger(receiver.channel.name, 'marker', 1);
    same(await receiver.seen.next(), { event: 'marker', data: 1 });
  },

  async 'where the app has them off client events are refused'(world) {
    const { client, sender, receiver } = await pair(world, 'private-', { app: 'plain' });
    const errors = record(client.connection, 'error');
    sender.channel.trigger('client-hello', { n: 1 });
    await inBandError(errors, null, /^To send client events, you must enable this feature/);
    await world.backend({ app: 'plain' }).trigger(receiver.channel.name, 'marker', 1);
    same(await receiver.seen.next(), { event: 'marker', data: 1 });
  },

  async 'to a channel one is not subscribed to client events are refused'(world) {
    const name = world.name('private-');
    const [client, outsider] = [await world.connect(), await world.connect()];
    const { seen } = await world.subscribe(client, name);
    const errors = record(outsider.connection, 'error');
    outsider.send_event('client-hello', { n: 1 }, name);
    await inBandError(errors, null, /^Cannot broadcast client event/);
    await world.backend().trigger(name, 'marker', 1);
    same(await seen.next(), { event: 'marker', data: 1 });
  },

  async 'above the rate 4301, the excess is dropped and the connection stays'(world) {
    const { client, sender, receiver } = await pair(world, 'private-', { app: 'small' });
    const errors = record(client.connection, 'error');
    const sent = 30;
    for (let n = 0; n < sent; n += 1) sender.channel.trigger('client-n', n);
    await inBandError(errors, 4301, /./);
    await world.flushed(client);
    await world.backend({ app: 'small' }).trigger(receiver.channel.name, 'marker', 1);

    const arrived = [];
    for (let next = await receiver.seen.next(); next.event !== 'marker'; next = await receiver.seen.next()) {
      arrived.push(next.data);
    }
    // The app allows 3 a second; the burst may straddle two of the server's seconds.
    same(arrived.slice(0, 3), [0, 1, 2]);
    ok(arrived.length <= 6, `${arrived.length} of ${sent} arrived`);

    // What the connection may send grows back with time.
    const seen = receiver.seen.next();
    let back = false;
    seen.then(() => (back = true));
    while (!back) {
      sender.channel.trigger('client-again', {});
      await pause(400);
    }
    same((await seen).event, 'client-again');
    same(client.connection.state, 'connected');
  },
};

/** Two clients on one channel; the sender's coming is behind the receiver. */
async function pair(world, prefix, { app = 'main' } = {}) {
  const name = world.name(prefix);
  const client = await world.connect({ app, user: { id: 'sender' } });
  const sender = await world.subscribe(client, name);
  const receiver = await world.subscribe(await world.connect({ app, user: { id: 'receiver' } }), name);
  return { client, sender, receiver };
}

async function inBandError(errors, code, message) {
  const error = pusherError(await errors.next());
  same(error.code, code, 'code');
  matches(error.message, message, 'message');
}
