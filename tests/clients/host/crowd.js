// Many pusher-js clients, each of which notes what it gets between its subscriptions and their ends. `Apart` starts
// processes from this module.

import Pusher from 'pusher-js';
import { answerCalls, now, watchTurns } from './apart.js';
import { apps } from './apps.js';

/** One that listens to the numbers on a channel. */
class Client {
  /**
   * For each time that it was subscribed: since when, the first and the last number it got, and the numbers that did not
   * follow on the one before.
   */
  stays = [];
  /** When it last began to connect, after the first time. */
  dialed;
  /** What it was told of an end: each code, and when that came at the earliest. */
  closes = [];
  #until = { done: () => true, resolve() {} };

  constructor(port, channel) {
    this.channel = channel;
    const pusher = new Pusher(apps.plain.key, {
      wsHost: '127.0.0.1', wsPort: port, forceTLS: false, enabledTransports: ['ws'], cluster: '',
    });
    const subscription = pusher.subscribe(channel);
    subscription.bind('pusher:subscription_succeeded', () => {
      this.stays.push({ since: now(), strays: [] });
      this.#look();
    });
    subscription.bind('tick', ({ n }) => {
      const stay = this.stays.at(-1);
      if (stay.last !== undefined && n !== stay.last + 1) stay.strays.push(n);
      stay.first ??= n;
      stay.last = n;
      this.#look();
    });
    pusher.connection.bind('connecting', () => (this.dialed = now()));
    pusher.connection.bind('error', ({ type, data }) => {
      if (type === 'PusherError') this.closes.push({ code: data.code, at: now(), earliest: earliest() });
    });
  }

  /** Returns when it has subscribed for the nth time, and then got this number, if one is given. */
  async has(subscriptions, n = -1) {
    const done = () => this.stays.length >= subscriptions && (n < 0 || this.stays.at(-1).last >= n);
    if (!done()) await new Promise((resolve) => (this.#until = { done, resolve }));
  }

  #look() {
    if (this.#until.done()) this.#until.resolve();
  }
}

const clients = [];
const earliest = watchTurns();

answerCalls({
  /** Connects one more for each of these channels, and returns when they have subscribed. */
  async join(port, channels) {
    const more = channels.map((channel) => new Client(port, channel));
    clients.push(...more);
    await Promise.all(more.map((client) => client.has(1)));
  },
  /** Returns when all have subscribed for the nth time, and then got this number, if one is given. */
  async have(subscriptions, n) {
    await Promise.all(clients.map((client) => client.has(subscriptions, n)));
  },
  /** What each client noted. */
  seen: () => clients.map(({ channel, stays, closes, dialed }) => ({ channel, stays, closes, dialed })),
});
