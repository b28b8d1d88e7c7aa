import { same } from '../shared/expect.js';
import { pusherError, record } from '../shared/recorder.js';

export const cases = {
  async 'who joins sees itself and who is there, the others see it come and go'(world) {
    const name = world.name('presence-');
    const ann = await world.connect({ user: { id: 'ann', user_info: { n: 1 } } });
    const bob = await world.connect({ user: { id: 'bob', user_info: { n: 2 } } });

    const first = await world.subscribe(ann, name);
    same(first.data.members, { ann: { n: 1 } });
    same(first.data.count, 1);
    same(first.data.me, { id: 'ann', info: { n: 1 } });

    const second = await world.subscribe(bob, name);
    same(second.data.members, { ann: { n: 1 }, bob: { n: 2 } });
    same(second.data.count, 2);
    same(second.data.me, { id: 'bob', info: { n: 2 } });
    same(await first.seen.next(), { event: 'pusher:member_added', data: { id: 'bob', info: { n: 2 } } });
    same(first.channel.members.count, 2);

    bob.unsubscribe(name);
    same(await first.seen.next(), { event: 'pusher:member_removed', data: { id: 'bob', info: { n: 2 } } });
    same(first.channel.members.count, 1);
    // The joiner itself is told of nobody's coming, not even its own.
    await world.backend().trigger(name, 'marker', 1);
    same(await first.seen.next(), { event: 'marker', data: 1 });
  },

  async 'a closed connection takes its member away'(world) {
    const name = world.name('presence-');
    const { seen } = await world.subscribe(await world.connect({ user: { id: 'ann' } }), name);
    const bob = await world.connect({ user: { id: 'bob' } });
    await world.subscribe(bob, name);
    await seen.next();
    bob.disconnect();
    const gone = await seen.next();
    same(gone.event, 'pusher:member_removed');
    same(gone.data.id, 'bob');
  },

  async 'a user on two connections comes with the first and goes with the last'(world) {
    const name = world.name('presence-');
    const { seen, channel } = await world.subscribe(await world.connect({ user: { id: 'ann' } }), name);
    const marker = async (n) => {
      await world.backend().trigger(name, 'marker', n);
      same(await seen.next(), { event: 'marker', data: n });
    };

    const desk = await world.connect({ user: { id: 'bob', user_info: { at: 'desk' } } });
    const phone = await world.connect({ user: { id: 'bob', user_info: { at: 'phone' } } });
    await world.subscribe(desk, name);
    same(await seen.next(), { event: 'pusher:member_added', data: { id: 'bob', info: { at: 'desk' } } });

    const onPhone = await world.subscribe(phone, name);
    same(onPhone.data.count, 2);
    same(onPhone.data.members.bob, { at: 'desk' }, 'info of the first connection');
    await marker(1);

    desk.unsubscribe(name);
    await world.flushed(desk);
    await marker(2);
    same(channel.members.count, 2);

    phone.disconnect();
    same(await seen.next(), { event: 'pusher:member_removed', data: { id: 'bob', info: { at: 'desk' } } });
    same(channel.members.count, 1);
  },

  async 'a user id may be a number, and info any text'(world) {
    const name = world.name('presence-');
    const { data, channel } = await world.subscribe(
      await world.connect({ user: { id: 10, user_info: { name: 'Łucja 🛎️', roles: ['a', 'b'] } } }),
      name,
    );
    same(Object.keys(data.members), ['10']);
    same(channel.members.me.info, { name: 'Łucja 🛎️', roles: ['a', 'b'] });
    same((await world.backend().get({ path: `/channels/${name}/users` })).body, { users: [{ id: '10' }] });
  },

  async 'events of the backend reach all members'(world) {
    const name = world.name('presence-');
    const members = ['ann', 'bob'].map(async (id) => world.subscribe(await world.connect({ user: { id } }), name));
    const [ann, bob] = await Promise.all(members);
    await world.backend().trigger(name, 'news', [1]);
    for (const { seen } of [ann, bob]) {
      const { data } = await seen.nextWhere(({ event }) => event === 'news');
      same(data, [1]);
    }
  },

  async 'a wrong signature is refused with 401'(world) {
    const client = await world.connect({ auth: 'forge', user: { id: 'ann' } });
    same((await world.refused(client, world.name('presence-'))).status, 401);
  },

  async 'above the member limit 403, but a member may come a second time'(world) {
    const name = world.name('presence-');
    const connect = (id) => world.connect({ app: 'small', user: { id } });
    await world.subscribe(await connect('ann'), name);
    await world.subscribe(await connect('bob'), name);

    const eve = await connect('eve');
    const errors = record(eve.connection, 'error');
    same((await world.refused(eve, name)).status, 403);
    same(pusherError(await errors.next()).code, null);
    same(eve.connection.state, 'connected');

    const again = await world.subscribe(await connect('bob'), name);
    same(Object.keys(again.data.members).sort(), ['ann', 'bob']);
  },
};
