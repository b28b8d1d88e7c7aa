import { matches, same } from '../shared/expect.js';
import { pause, pusherError, record, recordAll } from '../shared/recorder.js';

export const needs = 'signin';

export const cases = {
  async 'a client signs in as its user'(world) {
    const id = world.name();
    const client = await world.connect({ user: { id, user_info: { name: 'Ánn' } } });
    const successes = record(client, 'pusher:signin_success');
    client.signin();
    same(JSON.parse((await successes.next()).data.user_data), { id, user_info: { name: 'Ánn' } });
    same(client.user.user_data, { id, user_info: { name: 'Ánn' } });
  },

  async 'an event for a user reaches all its connections and nobody else'(world) {
    const [ann, bob] = [world.name(), world.name()];
    const desk = await signedIn(world, { id: ann });
    const phone = await signedIn(world, { id: ann });
    const stranger = await signedIn(world, { id: bob });
    same((await world.backend().sendToUser(ann, 'greet', { n: 1 })).status, 200);
    await world.backend().sendToUser(bob, 'marker', 2);
    same(await desk.seen.next(), { event: 'greet', data: { n: 1 } });
    same(await phone.seen.next(), { event: 'greet', data: { n: 1 } });
    same(await stranger.seen.next(), { event: 'marker', data: 2 });
  },

  async "nobody subscribes to another user's channel"(world) {
    const { client } = await signedIn(world, { id: world.name() });
    const messages = record(client.connection, 'message');
    const victim = `#server-to-user-${world.name()}`;
    client.send_event('pusher:subscribe', { channel: victim, auth: '' });
    const { data } = await messages.next();
    same([data.event, data.channel], ['pusher:subscription_error', victim]);
    same((await messages.next()).data.event, 'pusher:error');
  },

  async 'a wrong signature is refused with an error and the connection stays'(world) {
    const client = await world.connect({ signin: 'forge', user: { id: world.name() } });
    await refusedSignin(world, client);
  },

  async 'where the app has it off signing in is refused'(world) {
    const client = await world.connect({ app: 'plain', user: { id: world.name() } });
    await refusedSignin(world, client);
  },

  async 'a refusal by the auth endpoint is a signin error'(world) {
    const client = await world.connect({ signin: 'refuse', user: { id: world.name() } });
    const errors = record(client.user, 'pusher:signin_error');
    client.signin();
    same((await errors.next()).data.status, 403);
  },

  async 'a signed-in user joins presence channels under its id'(world) {
    const id = world.name();
    const { client } = await signedIn(world, { id, user_info: { n: 1 }, member_by_signin: true });
    const { data } = await world.subscribe(client, world.name('presence-'));
    same(data.members, { [id]: { n: 1 } });
    same(data.me, { id, info: { n: 1 } });
  },

  async "terminating a user closes all its connections with 4009, and they don't come back"(world) {
    const [ann, bob] = [world.name(), world.name()];
    const kicked = [await signedIn(world, { id: ann }), await signedIn(world, { id: ann })];
    const other = await signedIn(world, { id: bob });
    const closes = kicked.map(({ client }) => ({
      errors: record(client.connection, 'error'),
      states: record(client.connection, 'state_change'),
    }));
    same(await world.backend().terminateUserConnections(ann), { status: 200, body: {} });
    for (const { errors, states } of closes) {
      same(pusherError(await errors.next()).code, 4009);
      await states.nextWhere(({ data }) => data.current === 'disconnected');
    }
    // pusher-js comes back from other losses within a second.
    await pause(1200);
    for (const { client } of kicked) same(client.connection.state, 'disconnected');
    await world.backend().sendToUser(bob, 'marker', 1);
    same(await other.seen.next(), { event: 'marker', data: 1 });
  },

  async 'after a crash of the server the client is signed in again'(world) {
    const server = await world.ownServer();
    const { client, seen } = await signedIn(world, { id: 'ann' }, server.port);
    const subscribed = ownChannel(client, 'ann');
    await server.crashAndComeBack(client);
    await subscribed;
    await world.backend({ port: server.port }).sendToUser('ann', 'greet', 1);
    same(await seen.next(), { event: 'greet', data: 1 });
  },

  async 'a watchlist tells who is online, who comes and who goes'(world) {
    const [ann, bob, eve] = [world.name(), world.name(), world.name()];
    await signedIn(world, { id: eve });
    const client = await world.connect({ user: { id: ann, watchlist: [bob, eve] } });
    const seen = recordAll(client.user.watchlist, 'the watchlist');
    client.signin();
    same(sorted([await seen.next(), await seen.next()]), [['offline', [bob]], ['online', [eve]]]);

    const desk = await signedIn(world, { id: bob });
    same(sorted([await seen.next()]), [['online', [bob]]]);
    const phone = await signedIn(world, { id: bob });
    desk.client.disconnect();
    await world.flushed(phone.client);
    phone.client.disconnect();
    // Neither the second connection nor the end of the first is worth a word.
    same(sorted([await seen.next()]), [['offline', [bob]]]);
  },

  async 'of a watchlist above 100 the client is told with 4302, and is signed in'(world) {
    const watchlist = Array.from({ length: 101 }, () => world.name());
    const client = await world.connect({ user: { id: world.name(), watchlist } });
    const errors = record(client.connection, 'error');
    const successes = record(client, 'pusher:signin_success');
    const offline = record(client.user.watchlist, 'offline');
    client.signin();
    same(pusherError(await errors.next()).code, 4302);
    await successes.next();
    same((await offline.next()).data.user_ids.sort(), watchlist.slice(0, 100).sort());
  },
};

/** A client signed in as `user` that has the subscription to its own channel; `seen` are the user's events. */
async function signedIn(world, user, port) {
  const client = await world.connect({ user, port });
  const seen = recordAll(client.user, user.id);
  const subscribed = ownChannel(client, user.id);
  client.signin();
  await subscribed;
  return { client, seen };
}

function ownChannel(client, id) {
  return record(client.connection, 'message').nextWhere(
    ({ data }) => data.channel === `#server-to-user-${id}` && data.event === 'pusher_internal:subscription_succeeded',
  );
}

async function refusedSignin(world, client) {
  const errors = record(client.connection, 'error');
  client.signin();
  const error = pusherError(await errors.next());
  same(error.code, null);
  matches(error.message, /./, 'message');
  await world.subscribe(client, world.name());
  same(client.user.user_data, null);
}

/** Watchlist events as [name, ids], in the order of their names. */
function sorted(events) {
  return events.map(({ event, data }) => [event, data.user_ids]).sort();
}
