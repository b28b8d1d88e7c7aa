import { ok, same } from '../shared/expect.js';

export const cases = {
  async 'after a crash of the server the client comes back to its channels'(world) {
    const server = await world.ownServer();
    const { port } = server;
    const client = await world.connect({ port, user: { id: 'ann', user_info: { n: 1 } } });
    const names = [world.name(), world.name('private-'), world.name('private-encrypted-'), world.name('presence-')];
    const before = client.connection.socket_id;
    const channels = [];
    for (const name of names) channels.push(await world.subscribe(client, name));
    const left = world.name();
    await world.subscribe(client, left);
    client.unsubscribe(left);

    await server.crashAndComeBack(client);
    ok(client.connection.socket_id !== before, 'the new connection has the old socket id');

    for (const { seen, channel } of channels) {
      same((await seen.next()).event, 'pusher:subscription_succeeded', `first event of ${channel.name}`);
      await world.backend({ port }).trigger(channel.name, 'hello again', { n: 1 });
      same(await seen.next(), { event: 'hello again', data: { n: 1 } });
    }
    same(channels[3].channel.members.count, 1);
    same((await world.backend({ port }).get({ path: `/channels/${left}` })).body, { occupied: false });
  },
};
