import { same } from '../shared/expect.js';

export const needs = 'subscription_count';

const count = (n) => ({ event: 'pusher:subscription_count', data: { subscription_count: n } });

export const cases = {};

for (const prefix of ['', 'private-', 'private-encrypted-']) {
  cases[`${prefix || 'public'}: subscribers are told of every change of their number`] = async (world) => {
    const name = world.name(prefix);
    const first = await world.subscribe(await world.connect({ app: 'counted' }), name);
    same(await first.seen.next(), count(1));
    same(first.channel.subscriptionCount, 1);

    const leaver = await world.connect({ app: 'counted' });
    const second = await world.subscribe(leaver, name);
    same(await second.seen.next(), count(2));
    same(await first.seen.next(), count(2));
    leaver.unsubscribe(name);
    same(await first.seen.next(), count(1));
    same(first.channel.subscriptionCount, 1);
  };
}

Object.assign(cases, {
  async 'on a cache channel the count follows the cached event'(world) {
    const name = world.name('cache-');
    await world.backend({ app: 'counted' }).trigger(name, 'kept', 1);
    const { seen } = await world.subscribe(await world.connect({ app: 'counted' }), name);
    same(await seen.next(), { event: 'kept', data: 1 });
    same(await seen.next(), count(1));
  },

  async 'members of a presence channel are not counted for it'(world) {
    const name = world.name('presence-');
    const { seen } = await world.subscribe(await world.connect({ app: 'counted', user: { id: 'ann' } }), name);
    await world.backend({ app: 'counted' }).trigger(name, 'marker', 1);
    same(await seen.next(), { event: 'marker', data: 1 });
  },

  async 'where the app has it off nobody is told'(world) {
    const name = world.name();
    const { seen } = await world.subscribe(await world.connect(), name);
    await world.subscribe(await world.connect(), name);
    await world.backend().trigger(name, 'marker', 1);
    same(await seen.next(), { event: 'marker', data: 1 });
  },
});
