// One of two nodes behind a load balancer leaves. Real pusher-js, so many sockets at a time: they find their way to the
// other node no faster than the node that leaves lets them go, and miss nothing while they are connected.

import { deepEqual, equal, ok } from 'node:assert/strict';
import test from 'node:test';
import { Apart, now } from '../host/apart.js';
import { toml } from '../host/apps.js';
import { library } from '../host/backend.js';
import { Server } from '../host/server.js';
import { pause, within } from '../shared/recorder.js';

// Another number by TIDINGS_SOCKETS.
const SOCKETS = Number(process.env.TIDINGS_SOCKETS ?? 5000);
const WINDOW_S = 12;
// The clients are in so many processes, and that many of each join at once.
const CROWDS = 4;
const AT_ONCE = 100;
// Each channel has its share of the clients and gets a number a second, in turn: thousands at once would be late by what
// the machine needs for them.
const CHANNELS = Array.from({ length: 10 }, (_, at) => `ticks-${at}`);
const PAUSE_MS = 100;
const DEADLINE_MS = 60_000;

/** Publishes numbers to both nodes; notes when each was begun, and when the node that leaves had acknowledged it. */
class Ticker {
  /** How often it has been through the channels. */
  rounds = 0;
  /** For each channel, by number. */
  ticks = Object.fromEntries(CHANNELS.map((channel) => [channel, []]));
  #leaving;
  #staying;
  #going = true;
  #done;

  constructor(leaving, staying) {
    this.#leaving = library('plain', leaving.port);
    this.#staying = library('plain', staying.port);
    this.#done = this.#run();
  }

  /** Publishes a last number on each channel, and gives it. */
  async stop() {
    this.#going = false;
    await this.#done;
    await this.#round();
    return this.rounds - 1;
  }

  async #run() {
    while (this.#going) await this.#round();
  }

  async #round() {
    for (const channel of CHANNELS) {
      const tick = { begun: now() };
      this.ticks[channel].push(tick);
      const call = [channel, 'tick', { n: this.rounds }];
      await Promise.all([
        this.#leaving.trigger(...call).then(
          () => (tick.acknowledged = now()),
          // Gone: what nobody has acknowledged nobody misses.
          () => {},
        ),
        this.#staying.trigger(...call),
      ]);
      await pause(PAUSE_MS);
    }
    this.rounds += 1;
  }
}

/** The most of these times that lie within one second. */
function mostInASecond(times) {
  const sorted = times.toSorted((a, b) => a - b);
  let from = 0;
  return Math.max(...sorted.map((at, index) => {
    while (sorted[from] <= at - 1000) from += 1;
    return index + 1 - from;
  }));
}

test(`${SOCKETS} sockets move to the other node`, { timeout: 3 * DEADLINE_MS }, async (t) => {
  const configured = `[server]\ndrain_delay = 2\ndrain_window = ${WINDOW_S}\n${toml()}`;
  const [leaving, staying] = await Promise.all([1, 2].map(() => Server.start({ toml: configured })));
  const balancer = new Apart('host/balancer.js');
  const crowds = Array.from({ length: CROWDS }, () => new Apart('host/crowd.js'));
  const all = (what, call) => within(what, Promise.all(crowds.map(call)), DEADLINE_MS);
  try {
    const port = await balancer.call('start', [leaving.port, staying.port]);
    const places = Array.from({ length: SOCKETS }, (_, index) => CHANNELS[index % CHANNELS.length]);
    while (places.length > 0) {
      await all('the clients to subscribe', (crowd) => crowd.call('join', port, places.splice(0, AT_ONCE)));
    }
    const { accepted: before } = await balancer.call('seen');
    equal(before.length, SOCKETS);
    const ticker = new Ticker(leaving, staying);

    const ended = leaving.quit((WINDOW_S + 20) * 1000);
    await all('all to come back', (crowd) => crowd.call('have', 2));
    equal(await ended, 0, 'the exit code');
    const last = await ticker.stop();
    await all('the last number', (crowd) => crowd.call('have', 2, last));

    const clients = (await all('what they saw', (crowd) => crowd.call('seen'))).flat();
    equal(clients.length, SOCKETS);
    const { accepted, farewells } = await balancer.call('seen');
    const came = accepted.slice(SOCKETS);
    const letGo = farewells.filter((farewell) => farewell.port === leaving.port);
    // So long at most had words of the server lain there when they were read.
    const carriersLate = Math.max(...letGo.map(({ at, earliest }) => at - earliest));

    let judged = 0;
    for (const { channel, stays, closes } of clients) {
      // Told by a frame, and by the code of the close.
      deepEqual(closes.map(({ code }) => code), [4100, 4100]);
      equal(stays.length, 2, 'times subscribed');
      for (const { strays } of stays) deepEqual(strays, [], 'in order, and none missing');
      const ticks = ticker.ticks[channel];
      const [before, after] = stays;
      const from = ticks.findIndex(({ begun }) => begun > before.since);
      const to = ticks.findLastIndex(({ acknowledged }) => acknowledged < closes[0].earliest - carriersLate);
      if (from <= to) {
        judged += 1;
        ok(before.first <= from && before.last >= to, `got ${before.first} to ${before.last} of ${from} to ${to}`);
      }
      const since = ticks.findIndex(({ begun }) => begun > after.since);
      ok(after.first <= since, `got ${after.first} first and not ${since}`);
      equal(after.last, last);
    }
    ok(judged > SOCKETS / 2, `of ${judged} only it is known what they were to get before the end`);

    equal(letGo.length, SOCKETS, 'each was let go once');
    equal(came.length, SOCKETS, 'each came back once');
    // A hundred in a second is no storm, however few they are.
    const even = Math.max(SOCKETS / WINDOW_S, 100);
    const [mostLetGo, mostCame] = [letGo.map(({ at }) => at), came].map(mostInASecond);
    t.diagnostic(`the most in a second: ${mostLetGo} let go, ${mostCame} came; evenly: ${even.toFixed()}`);
    // A tenth is for what wakes a little late. On a busy machine whoever was late lets go, or dials, together with those
    // whose turn is later: when the latest is a fifth of a second late, the most in a second are those of six fifths. More
    // than half as many again is a storm, whoever is late. pusher-js dials a second after it was told.
    const atMost = (...late) => Math.min(1.1 + late.reduce((sum, ms) => sum + ms, 0) / 1000, 1.5) * even;
    const clientsLate = Math.max(...clients.map(({ closes, dialed }) => dialed - closes[1].earliest)) - 1000;
    t.diagnostic(`late at most: carriers ${carriersLate.toFixed()} ms, clients ${clientsLate.toFixed()} ms`);
    ok(mostLetGo <= atMost(carriersLate), `${mostLetGo} were let go in a second, at most it should be ${atMost(carriersLate)}`);
    const cameAtMost = atMost(carriersLate, clientsLate);
    ok(mostCame <= cameAtMost, `${mostCame} came back in a second, at most it should be ${cameAtMost}`);
  } finally {
    for (const apart of [balancer, ...crowds]) apart.end();
    await Promise.all([leaving.stop(), staying.stop()]);
  }
});
