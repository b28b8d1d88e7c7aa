import { matches, ok, same } from '../shared/expect.js';
import { pusherError, record, recordAll } from '../shared/recorder.js';

export const cases = {
  async 'an authorized client gets the events'(world) {
    const name = world.name('private-');
    const { seen } = await world.subscribe(await world.connect(), name);
    await world.backend().trigger(name, 'secret', { n: 1 });
    same(await seen.next(), { event: 'secret', data: { n: 1 } });
  },

  async 'a wrong signature is a subscription error with status 401, and no event arrives'(world) {
    await refusedByServer(world, await world.connect({ auth: 'forge' }));
  },

  async "a signature by another app's key is a subscription error with status 401"(world) {
    await refusedByServer(world, await world.connect({ auth: 'another-key' }));
  },

  async 'a signature made for another connection is refused'(world) {
    const name = world.name('private-');
    const [rightful, thief] = [await world.connect(), await world.connect()];
    const sent = spyOnSubscribe(rightful);
    await world.subscribe(rightful, name);
    await refusedRaw(thief, { channel: name, auth: sent[0].auth });
  },

  async 'without a signature the subscription is refused'(world) {
    await refusedRaw(await world.connect(), { channel: world.name('private-') });
  },

  async 'a refusal by the auth endpoint is a subscription error with its status'(world) {
    const client = await world.connect({ auth: 'refuse' });
    same(statusOf(await world.refused(client, world.name('private-'))), 403);
  },

  async 'rubbish from the auth endpoint is a subscription error and nothing reaches the server'(world) {
    const name = world.name('private-');
    const client = await world.connect({ auth: 'rubbish' });
    const sent = spyOnSubscribe(client);
    await world.refused(client, name);
    same(sent, []);
  },

  async 'a slow auth endpoint delays only its own channel'(world) {
    const [slow, quick] = [world.name('private-'), world.name()];
    const client = await world.connect({ auth: 'slow' });
    const messages = record(client.connection, 'message');
    const late = recordAll(client.subscribe(slow), slow);
    client.subscribe(quick);
    same((await messages.next()).data.channel, quick);
    await world.backend().trigger(slow, 'too early', 1);
    same((await late.next()).event, 'pusher:subscription_succeeded');
    await world.backend().trigger(slow, 'in time', 2);
    same(await late.next(), { event: 'in time', data: 2 });
  },
};

/** The server says no in both forms, keeps the connection, and gives the channel nothing. */
async function refusedByServer(world, client) {
  const name = world.name('private-');
  const errors = record(client.connection, 'error');
  const seen = recordAll(client.subscribe(name), name);
  const refusal = await seen.next();
  same(refusal.event, 'pusher:subscription_error');
  same(refusal.data.type, 'AuthError');
  same(refusal.data.status, 401);
  ok(refusal.data.error.length > 0, 'the refusal says nothing');
  same(pusherError(await errors.next()), { code: null, message: refusal.data.error });

  const open = await world.subscribe(client, world.name());
  await world.backend().trigger([name, open.channel.name], 'marker', 1);
  same(await open.seen.next(), { event: 'marker', data: 1 });
  await world.flushed(client);
  const end = { event: 'end of test' };
  seen.add(end);
  same(await seen.next(), end);
}

/** Sends a subscribe frame that no pusher-js would send. */
async function refusedRaw(client, data) {
  const messages = record(client.connection, 'message');
  client.send_event('pusher:subscribe', data);
  const refusal = (await messages.next()).data;
  same(refusal.event, 'pusher:subscription_error');
  same(refusal.channel, data.channel);
  same(refusal.data.status, 401);
  const error = (await messages.next()).data;
  same(error.event, 'pusher:error');
  matches(error.data.message, /./, 'message');
}

/** The `data` of each subscribe frame that the client sends from now on. */
function spyOnSubscribe(client) {
  const sent = [];
  const send = client.send_event.bind(client);
  client.send_event = (event, data, channel) => {
    if (event === 'pusher:subscribe') sent.push(data);
    return send(event, data, channel);
  };
  return sent;
}

/** pusher-js 5 gives the bare status of the endpoint's refusal. */
function statusOf(error) {
  return typeof error === 'number' ? error : error.status;
}
