// One of two nodes behind a load balancer leaves. Real pusher-js, so many sockets at a time: they find their way to the
// other node no faster than the node that leaves lets them go, and miss nothing while they are connected.

import { deepEqual, equal, ok } from 'node:assert/strict';
import test from 'node:test';
import Pusher from 'pusher-js';
import { apps, toml } from '../host/apps.js';
import { library } from '../host/backend.js';
import { Balancer } from '../host/balancer.js';
import { Server } from '../host/server.js';
import { pause, within } from '../shared/recorder.js';

// Another number by TIDINGS_SOCKETS: proxy and clients share one thread here, which is what it is up to.
const SOCKETS = Number(process.env.TIDINGS_SOCKETS ?? 1000);
const WINDOW_S = 8;
const AT_ONCE = 250;
const TICK_MS = 500;
const DEADLINE_MS = 60_000;
// What the client side may lag behind on a small machine.
const LAG_MS = 1500;

/** A client that notes what it gets between each subscription and its end. */
class Client {
  closes = [];
  #last;
  #wanted = 0;
  #wake;

  constructor(port) {
    this.pusher = new Pusher(apps.plain.key, {
      wsHost: '127.0.0.1', wsPort: port, forceTLS: false, enabledTransports: ['ws'], cluster: '',
    });
    const channel = this.pusher.subscribe('ticks');
    this.subscriptions = 0;
    channel.bind('pusher:subscription_succeeded', () => {
      this.#last = undefined;
      this.subscriptions += 1;
      if (this.subscriptions === this.#wanted) this.#wake();
    });
    channel.bind('tick', ({ n }) => {
      if (this.#last !== undefined) equal(n, this.#last + 1, 'in order, and none missing');
      this.#last = n;
    });
    this.pusher.connection.bind('error', ({ type, data }) => {
      if (type === 'PusherError') this.closes.push({ code: data.code, last: this.#last, at: performance.now() });
    });
  }

  /** Returns when it has subscribed for the nth time. */
  async subscribed(times) {
    if (this.subscriptions >= times) return;
    this.#wanted = times;
    await new Promise((resolve) => (this.#wake = resolve));
  }
}

/** Publishes numbers to both nodes; notes when the node that leaves has acknowledged which. */
class Ticker {
  acknowledged = [];
  #going = true;

  constructor(leaving, staying) {
    this.done = this.#run(library('plain', leaving.port), library('plain', staying.port));
  }

  async stop() {
    this.#going = false;
    await this.done;
  }

  async #run(leaving, staying) {
    for (let n = 0; this.#going; n += 1) {
      await Promise.all([
        leaving.trigger('ticks', 'tick', { n }).then(
          () => this.acknowledged.push({ n, at: performance.now() }),
          // Gone: what nobody has acknowledged nobody misses.
          () => {},
        ),
        staying.trigger('ticks', 'tick', { n }),
      ]);
      await pause(TICK_MS);
    }
  }
}

test(`${SOCKETS} sockets move to the other node`, { timeout: 2 * DEADLINE_MS }, async (t) => {
  const configured = `[server]\ndrain_delay = 2\ndrain_window = ${WINDOW_S}\n${toml()}`;
  const [leaving, staying] = await Promise.all([1, 2].map(() => Server.start({ toml: configured })));
  const balancer = await Balancer.start([leaving, staying]);
  const clients = [];
  let ticker;
  try {
    for (let at = 0; at < SOCKETS; at += AT_ONCE) {
      const some = Array.from({ length: Math.min(AT_ONCE, SOCKETS - at) }, () => new Client(balancer.port));
      clients.push(...some);
      await within('the clients to subscribe', Promise.all(some.map((client) => client.subscribed(1))));
    }
    ticker = new Ticker(leaving, staying);
    const before = balancer.accepted.length;
    equal(before, SOCKETS);

    const ended = leaving.quit((WINDOW_S + 20) * 1000);
    await within(
      'all to come back', Promise.all(clients.map((client) => client.subscribed(2))), DEADLINE_MS);
    equal(await ended, 0, 'the exit code');
    await ticker.stop();

    for (const { closes } of clients) {
      // Told by a frame, and by the code of the close.
      deepEqual(closes.map(({ code }) => code), [4100, 4100]);
      const [{ last, at }] = closes;
      const acknowledged = ticker.acknowledged.findLast((tick) => tick.at < at - LAG_MS);
      if (acknowledged) ok(last >= acknowledged.n, `got ${last} and not ${acknowledged.n}`);
    }
    const came = balancer.accepted.slice(before);
    equal(came.length, SOCKETS, 'each came back once');
    // Looked at over two seconds: on a busy machine the clients come in clumps, however evenly they are let go.
    const most = Math.max(...came.map((from) => came.filter((at) => at >= from && at < from + 2000).length)) / 2;
    // A hundred in a second is no storm, however few they are.
    const even = Math.max(SOCKETS / WINDOW_S, 100);
    t.diagnostic(`the most in a second: ${most}; evenly: ${even}`);
    ok(most <= 1.5 * even, `${most} came back in a second, evenly it would be ${even}`);
  } finally {
    for (const { pusher } of clients) pusher.disconnect();
    await ticker?.stop();
    balancer.close();
    await Promise.all([leaving.stop(), staying.stop()]);
  }
});
