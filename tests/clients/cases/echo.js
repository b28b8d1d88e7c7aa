// laravel-echo 2 over pusher-js: what a Laravel front end uses.

import { same } from '../shared/expect.js';
import { Recorder, until } from '../shared/recorder.js';

const NOTIFICATION = 'Illuminate\\Notifications\\Events\\BroadcastNotificationCreated';

export const cases = {
  async "channel: events of the app's namespace, of another, and by their literal name"(world) {
    const name = world.name();
    const channel = await subscribed(connect(world).channel(name));
    const heard = new Recorder(name);
    channel
      .listen('OrderShipped', (data) => heard.add(['in App.Events', data]))
      .listen('.Other\\Thing', (data) => heard.add(['elsewhere', data]))
      .listen('.plain', (data) => heard.add(['literal', data]));
    await world.backend().trigger(name, 'App\\Events\\OrderShipped', { n: 1 });
    await world.backend().trigger(name, 'Other\\Thing', { n: 2 });
    await world.backend().trigger(name, 'OrderShipped', { n: 'not this' });
    await world.backend().trigger(name, 'plain', { n: 3 });
    same(await heard.next(), ['in App.Events', { n: 1 }]);
    same(await heard.next(), ['elsewhere', { n: 2 }]);
    same(await heard.next(), ['literal', { n: 3 }]);
  },

  async 'private: toOthers leaves out the socket that asked'(world) {
    const name = world.name();
    const [author, reader] = [connect(world), connect(world)];
    const [own, other] = [await subscribed(author.private(name)), await subscribed(reader.private(name))];
    const [hearsOwn, hearsOther] = [listen(own, '.said'), listen(other, '.said')];
    await world.backend().trigger(`private-${name}`, 'said', { n: 1 }, { socket_id: author.socketId() });
    await world.backend().trigger(`private-${name}`, 'said', { n: 2 });
    same(await hearsOther.next(), { n: 1 });
    same(await hearsOther.next(), { n: 2 });
    same(await hearsOwn.next(), { n: 2 });
  },

  async 'private: a whisper is heard by the others'(world) {
    const name = world.name();
    const typist = await subscribed(connect(world).private(name));
    const reader = await subscribed(connect(world).private(name));
    const [echoed, heard] = [new Recorder('own whisper'), new Recorder('whisper')];
    typist.listenForWhisper('typing', (data) => echoed.add(data));
    reader.listenForWhisper('typing', (data) => heard.add(data));
    typist.whisper('typing', { name: 'Ánn' });
    same(await heard.next(), { name: 'Ánn' });
    reader.whisper('typing', { name: 'Bob' });
    same(await echoed.next(), { name: 'Bob' });
  },

  async 'join: here, joining, leaving and whispers'(world) {
    const name = world.name();
    const ann = connect(world, { user: { id: 1, user_info: { id: 1, name: 'Ann' } } }).join(name);
    const heard = new Recorder(name);
    ann
      .here((users) => heard.add(['here', users]))
      .joining((user) => heard.add(['joining', user]))
      .leaving((user) => heard.add(['leaving', user]))
      .listenForWhisper('wave', (data) => heard.add(['wave', data]))
      .error((error) => heard.add(['error', error]));
    same(await heard.next(), ['here', [{ id: 1, name: 'Ann' }]]);

    const echo = connect(world, { user: { id: 2, user_info: { id: 2, name: 'Bob' } } });
    const bob = await subscribed(echo.join(name));
    same(await heard.next(), ['joining', { id: 2, name: 'Bob' }]);
    bob.whisper('wave', { hand: 'left' });
    same(await heard.next(), ['wave', { hand: 'left' }]);
    echo.leave(name);
    same(await heard.next(), ['leaving', { id: 2, name: 'Bob' }]);
  },

  async 'encryptedPrivate: events arrive in the clear'(world) {
    const name = world.name();
    const heard = listen(await subscribed(connect(world).encryptedPrivate(name)), 'Sealed');
    await world.backend().trigger(`private-encrypted-${name}`, 'App\\Events\\Sealed', { n: 1 });
    same(await heard.next(), { n: 1 });
  },

  async 'error: what the auth endpoint refuses, and what the server refuses'(world) {
    for (const [auth, status] of [['refuse', 403], ['forge', 401]]) {
      const errors = new Recorder('error');
      connect(world, { auth }).private(world.name()).error((error) => errors.add(error));
      const error = await errors.next();
      same([error.type, error.status], ['AuthError', status]);
    }
  },

  async "notification: arrives on the user's private channel"(world) {
    const name = `App.Models.User.${world.name()}`;
    const channel = await subscribed(connect(world).private(name));
    const heard = new Recorder('notification');
    channel.notification((notification) => heard.add(notification));
    const notification = { id: '0b1c', type: 'App\\Notifications\\InvoicePaid', amount: 12 };
    await world.backend().trigger(`private-${name}`, NOTIFICATION, notification);
    same(await heard.next(), notification);
  },

  async 'leave: the channels of that name are left'(world) {
    const name = world.name();
    const echo = connect(world);
    await Promise.all([echo.channel(name), echo.private(name)].map(subscribed));
    const kept = await subscribed(echo.channel(`${name}-kept`));
    echo.leave(name);
    const occupied = async () => Object.keys((await channels(world, name)).body.channels);
    await until('the channel to be left', async () => (await occupied()).length === 1);
    same(await occupied(), [`${name}-kept`]);
    const privately = await world.backend().get({ path: `/channels/private-${name}` });
    same(privately.body, { occupied: false });
    const heard = listen(kept, '.still');
    await world.backend().trigger(kept.name, 'still', { n: 1 });
    same(await heard.next(), { n: 1 });
  },

  async 'listenToAll hears every event, stopListening ends it for one'(world) {
    const name = world.name();
    const channel = await subscribed(connect(world).channel(name));
    const [all, one] = [new Recorder('all'), new Recorder('one')];
    channel.listenToAll((event, data) => all.add([event, data]));
    channel.listen('Counted', (data) => one.add(data));
    await world.backend().trigger(name, 'App\\Events\\Counted', { n: 1 });
    same(await one.next(), { n: 1 });
    channel.stopListening('Counted');
    await world.backend().trigger(name, 'App\\Events\\Counted', { n: 2 });
    same(await all.next(), ['Counted', { n: 1 }]);
    same(await all.next(), ['Counted', { n: 2 }]);
    one.add('nothing more');
    same(await one.next(), 'nothing more');
  },

  async "broadcaster 'reverb' works alike"(world) {
    const name = world.name();
    const heard = listen(await subscribed(connect(world, { broadcaster: 'reverb' }).private(name)), 'Sent');
    await world.backend().trigger(`private-${name}`, 'App\\Events\\Sent', { n: 1 });
    same(await heard.next(), { n: 1 });
  },

  async 'the connection status is told'(world) {
    const echo = connect(world);
    await subscribed(echo.channel(world.name()));
    same(echo.connectionStatus(), 'connected');
    const changes = new Recorder('status');
    echo.connector.onConnectionChange((status) => changes.add(status));
    echo.disconnect();
    same(await changes.next(), 'disconnected');
  },

  async 'a user signs in and gets its events'(world) {
    const id = world.name();
    const { connector } = connect(world, { user: { id } });
    const heard = new Recorder('user event');
    const ready = new Recorder('server-to-user channel');
    connector.pusher.user.bind('greet', (data) => heard.add(data));
    connector.pusher.connection.bind('message', ({ event, channel }) => ready.add([event, channel]));
    connector.signin();
    await ready.nextWhere(([, channel]) => channel === `#server-to-user-${id}`);
    await world.backend().sendToUser(id, 'greet', { n: 1 });
    same(await heard.next(), { n: 1 });
  },
};

/** An Echo set up as a Laravel app's bootstrap file does it. */
function connect(world, { broadcaster = 'pusher', ...given } = {}) {
  const { channelAuthorization, ...options } = world.options(given);
  const echo = new world.Echo({
    broadcaster,
    Pusher: world.Pusher,
    key: world.site.apps.main.key,
    bearerToken: 'of-the-session',
    ...options,
    authEndpoint: channelAuthorization.endpoint,
    auth: { params: channelAuthorization.params, headers: {} },
    userAuthentication: { ...options.userAuthentication, headers: {} },
  });
  world.adopt(echo.connector.pusher);
  return echo;
}

async function subscribed(channel) {
  const answers = new Recorder(`subscription to ${channel.name}`);
  channel.subscribed(() => answers.add('subscribed'));
  channel.error((error) => answers.add(error));
  same(await answers.next(), 'subscribed');
  return channel;
}

function listen(channel, event) {
  const heard = new Recorder(event);
  channel.listen(event, (data) => heard.add(data));
  return heard;
}

function channels(world, prefix) {
  return world.backend().get({ path: '/channels', params: { filter_by_prefix: prefix } });
}
