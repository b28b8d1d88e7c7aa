import { same } from '../shared/expect.js';

const prefixes = ['cache-', 'private-cache-', 'private-encrypted-cache-', 'presence-cache-'];
const MISS = { event: 'pusher:cache_miss', data: {} };

export const cases = {};

for (const prefix of prefixes) {
  cases[`${prefix}: who comes to an empty channel is told of the miss`] = async (world) => {
    const { seen } = await world.subscribe(await connect(world), world.name(prefix));
    same(await seen.next(), MISS);
  };

  cases[`${prefix}: who comes later gets the last event, once, and then what follows`] = async (world) => {
    const name = world.name(prefix);
    const { seen } = await world.subscribe(await connect(world), name);
    same(await seen.next(), MISS);
    await world.backend().trigger(name, 'price', { n: 1 });
    await world.backend().trigger(name, 'price', { n: 2 });

    const late = await world.subscribe(await connect(world), name);
    same(await late.seen.next(), { event: 'price', data: { n: 2 } });
    await world.backend().trigger(name, 'price', { n: 3 });
    same(await late.seen.next(), { event: 'price', data: { n: 3 } });
  };

  cases[`${prefix}: the last event is kept without subscribers, and if somebody was left out`] = async (world) => {
    const name = world.name(prefix);
    const author = await connect(world);
    await world.backend().trigger(name, 'kept', 'ü', { socket_id: author.connection.socket_id });
    const { seen } = await world.subscribe(author, name);
    same(await seen.next(), { event: 'kept', data: 'ü' });
  };
}

for (const prefix of ['private-cache-', 'presence-cache-']) {
  cases[`${prefix}: client events are passed on but not kept`] = async (world) => {
    const name = world.name(prefix);
    const [sender, receiver] = [await connect(world), await connect(world)];
    const sending = await world.subscribe(sender, name);
    const receiving = await world.subscribe(receiver, name);
    same(await receiving.seen.next(), MISS);
    sending.channel.trigger('client-typing', { n: 1 });
    same(await receiving.seen.next(), { event: 'client-typing', data: { n: 1 } });

    const late = await world.subscribe(await connect(world), name);
    same(await late.seen.next(), MISS);
  };
}

// All clients are one user, so that on presence channels nobody is seen coming.
function connect(world) {
  return world.connect({ user: { id: 'ann' } });
}
