import { same } from '../shared/expect.js';
import { record, recordAll } from '../shared/recorder.js';

const LARGEST_DATA = 10_240;

export const cases = {
  async 'events arrive with their data, in the order of triggering'(world) {
    const name = world.name();
    const { seen } = await world.subscribe(await world.connect(), name);
    const values = [{ text: 'hello', list: [1, 2] }, {}, [], ['a', { b: null }], 'plain text', '', 12, false, null];
    for (const value of values) await world.backend().trigger(name, 'value', value);
    for (const value of values) same(await seen.next(), { event: 'value', data: value });
  },

  async 'text of any script arrives as it was'(world) {
    const name = world.name();
    const { seen } = await world.subscribe(await world.connect(), name);
    const data = { text: 'ąßłü 日本語 🛎️👩‍👩‍👧 العربية', quoted: '"\\/\b\n\u2028\u0000', 'κλειδί': '€' };
    await world.backend().trigger(name, 'unicode', data);
    same(await seen.next(), { event: 'unicode', data });
  },

  async 'the largest data arrives whole, one byte more is refused with 413'(world) {
    const name = world.name();
    const { seen } = await world.subscribe(await world.connect(), name);
    const largest = 'é'.repeat(LARGEST_DATA / 2);
    same((await world.backend().trigger(name, 'large', largest)).status, 200);
    same(await seen.next(), { event: 'large', data: largest });
    same((await world.backend().trigger(name, 'too large', `${largest}x`)).status, 413);
    await world.backend().trigger(name, 'marker', 1);
    same(await seen.next(), { event: 'marker', data: 1 });
  },

  async 'event names may hold any characters'(world) {
    const name = world.name();
    const { seen } = await world.subscribe(await world.connect(), name);
    for (const event of ['App\\Events\\Shipped', 'with space: and/more', 'ereignis-ü-🛎️', 'x'.repeat(200)]) {
      same((await world.backend().trigger(name, event, {})).status, 200);
      same(await seen.next(), { event, data: {} });
    }
  },

  async 'channel names may hold all characters that are allowed, up to 200'(world) {
    const client = await world.connect();
    for (const name of [`${world.name()}_-=@,.;AZ09`, world.name().padEnd(200, 'x')]) {
      const { seen } = await world.subscribe(client, name);
      await world.backend().trigger(name, 'hello', {});
      same(await seen.next(), { event: 'hello', data: {} });
    }
  },

  async 'an invalid channel name is refused'(world) {
    const client = await world.connect();
    same((await world.refused(client, 'no spaces')).status, 400);
  },

  async 'each channel gets its own events, the client gets all'(world) {
    const client = await world.connect();
    const all = recordAll(client, 'the client');
    const [one, two] = [world.name(), world.name()];
    const first = await world.subscribe(client, one);
    const second = await world.subscribe(client, two);
    await world.backend().trigger(one, 'to-one', 1);
    await world.backend().trigger(two, 'to-two', 2);
    same(await first.seen.next(), { event: 'to-one', data: 1 });
    same(await second.seen.next(), { event: 'to-two', data: 2 });
    same(await all.nextWhere(({ event }) => !event.startsWith('pusher')), { event: 'to-one', data: 1 });
    same(await all.next(), { event: 'to-two', data: 2 });
  },

  async 'an event for 100 channels arrives once on each'(world) {
    const client = await world.connect();
    const names = Array.from({ length: 100 }, () => world.name());
    const subscriptions = await Promise.all(names.map((name) => world.subscribe(client, name)));
    await world.backend().trigger(names, 'to-all', { n: 100 });
    for (const [index, { seen }] of subscriptions.entries()) {
      same(await seen.next(), { event: 'to-all', data: { n: 100 } }, names[index]);
    }
    await world.backend().trigger(names, 'marker', 1);
    for (const { seen } of subscriptions) same(await seen.next(), { event: 'marker', data: 1 });
  },

  async 'events of a batch arrive on their channels'(world) {
    const client = await world.connect();
    const [one, two] = [world.name(), world.name()];
    const first = await world.subscribe(client, one);
    const second = await world.subscribe(client, two);
    await world.backend().triggerBatch([
      { channel: one, name: 'a', data: { n: 1 } },
      { channel: two, name: 'b', data: 'text' },
      { channel: one, name: 'c', data: [3] },
    ]);
    same(await first.seen.next(), { event: 'a', data: { n: 1 } });
    same(await first.seen.next(), { event: 'c', data: [3] });
    same(await second.seen.next(), { event: 'b', data: 'text' });
  },

  async 'the connection named by socket_id does not get the event'(world) {
    const name = world.name();
    const [author, reader] = [await world.connect(), await world.connect()];
    const own = await world.subscribe(author, name);
    const other = await world.subscribe(reader, name);
    await world.backend().trigger(name, 'said', 1, { socket_id: author.connection.socket_id });
    await world.backend().trigger(name, 'marker', 2);
    same(await other.seen.next(), { event: 'said', data: 1 });
    same(await other.seen.next(), { event: 'marker', data: 2 });
    same(await own.seen.next(), { event: 'marker', data: 2 });
  },

  async 'after unsubscribing nothing arrives, after subscribing again it does'(world) {
    const [left, kept] = [world.name(), world.name()];
    const client = await world.connect();
    await world.subscribe(client, left);
    const { seen } = await world.subscribe(client, kept);
    client.unsubscribe(left);
    await world.flushed(client);
    const messages = record(client.connection, 'message');
    await world.backend().trigger(left, 'unheard', 1);
    await world.backend().trigger(kept, 'marker', 2);
    same((await messages.next()).data, { event: 'marker', channel: kept, data: 2 });
    same(await seen.next(), { event: 'marker', data: 2 });

    const again = await world.subscribe(client, left);
    await world.backend().trigger(left, 'heard', 3);
    same(await again.seen.next(), { event: 'heard', data: 3 });
  },
};
