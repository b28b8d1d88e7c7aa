// More than fits in one piece of whatever is underneath: a TLS record has 16 KiB, and so have many buffers.

import { same } from '../shared/expect.js';

const APP = 'large';
const LARGE = 100_000;

export const cases = {
  async 'an event of 100,000 bytes arrives whole'(world) {
    const name = world.name();
    const { seen } = await world.subscribe(await world.connect({ app: APP }), name);
    const data = text('é', LARGE);
    same((await world.backend({ app: APP }).trigger(name, 'large', data)).status, 200);
    same(await seen.next(), { event: 'large', data });
    await world.backend({ app: APP }).trigger(name, 'marker', 1);
    same(await seen.next(), { event: 'marker', data: 1 });
  },

  async 'many events at once arrive once each, in order, whole'(world) {
    const name = world.name();
    const { seen } = await world.subscribe(await world.connect({ app: APP }), name);
    const events = Array.from({ length: 50 }, (_, n) => ({ event: `event-${n}`, data: text(String(n), 12_000) }));
    // Together they are less than the server keeps for a client that does not read.
    for (let at = 0; at < events.length; at += 10) {
      const batch = events.slice(at, at + 10).map(({ event, data }) => ({ channel: name, name: event, data }));
      same((await world.backend({ app: APP }).triggerBatch(batch)).status, 200);
    }
    for (const event of events) same(await seen.next(), event);
    await world.backend({ app: APP }).trigger(name, 'marker', 1);
    same(await seen.next(), { event: 'marker', data: 1 });
  },

  async 'a client event of 50,000 bytes arrives whole'(world) {
    const name = world.name('private-');
    const [writer, reader] = [await world.connect({ app: APP }), await world.connect({ app: APP })];
    const { channel } = await world.subscribe(writer, name);
    const { seen } = await world.subscribe(reader, name);
    const data = text('ü', LARGE / 2);
    channel.trigger('client-large', data);
    same(await seen.next(), { event: 'client-large', data });
    channel.trigger('client-marker', 1);
    same(await seen.next(), { event: 'client-marker', data: 1 });
  },
};

/** A text of this many bytes in which no part stands for another. */
function text(beginning, bytes) {
  const size = new TextEncoder().encode(beginning).length;
  let counted = '';
  for (let n = 0; counted.length < bytes; n += 1) counted += `${n},`;
  return beginning + counted.slice(0, bytes - size);
}
