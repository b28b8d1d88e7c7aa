// A page of a visitor that stays open for long: what it was told, over all its connections.

import { equal, ok } from 'node:assert/strict';
import { within } from '../shared/recorder.js';
import { KINDS } from './fusion.js';

export class OpenPage {
  #connection = 0;
  #isSubscribed = false;
  #refused;
  #news = [];
  /** The connections on which it was told of an activity, by the notification's title. */
  #told = new Map();
  #wake = [];
  /** How much news had come when it was last told of counts. */
  #counted = 0;
  /** The counts that it was told last. */
  counts;

  constructor(visitor) {
    this.visitor = visitor;
  }

  /**
   * Opens the page, or opens it again, and waits until it is subscribed. A pusher-js whose connection has died twice
   * soon after it was made gives up, so a page that sees many servers die is loaded again.
   */
  async load() {
    this.#isSubscribed = false;
    this.visitor.leave();
    const client = this.visitor.open();
    client.connection.bind('state_change', () => (this.#isSubscribed = false));
    client.subscribe(this.visitor.channel).bind_global((event, data) => this.#heed(event, data));
    await this.#until(`the page of ${this.visitor.person} to be subscribed`, () => this.#isSubscribed);
  }

  /** The number of the connection on which it is subscribed; nothing, while it is not. */
  get connection() {
    return this.#isSubscribed ? this.#connection : undefined;
  }

  /** Waits until it was told of this activity, and then of counts. */
  async told(id) {
    const after = () => this.#news.findIndex(({ Title }) => Title === String(id)) + 1;
    await this.#until(`news of activity ${id}`, () => after() > 0 && this.#counted >= after());
  }

  /** Checks what it was told: of its own visitor only, nothing twice on one connection, and in order. */
  check(ledger) {
    let last = { connection: 0, MessageId: 0 };
    for (const news of this.#news) {
      equal(news.UserId, this.visitor.userId);
      ok(ledger.has(Number(news.Title)), `nobody has sent ${news.Title}`);
      if (news.connection === last.connection) ok(news.MessageId > last.MessageId, 'in order, and once');
      last = news;
    }
  }

  /** Checks that it was told of these activities, once each, on this connection. */
  checkTold(ids, connection) {
    equal(this.connection, connection, 'the page stayed connected');
    for (const id of ids) {
      const times = (this.#told.get(String(id)) ?? []).filter((on) => on === connection).length;
      equal(times, 1, `the page of ${this.visitor.person} was told of activity ${id} ${times} times`);
    }
  }

  wasTold(id) {
    return this.#told.has(String(id));
  }

  #heed(event, data) {
    if (event === 'pusher:subscription_succeeded') {
      this.#connection += 1;
      this.#isSubscribed = true;
    } else if (event === 'pusher:subscription_error') {
      this.#refused = data;
    } else if (KINDS.includes(event)) {
      this.#news.push({ ...data, connection: this.#connection });
      this.#told.set(data.Title, [...(this.#told.get(data.Title) ?? []), this.#connection]);
    } else if (event === 'tidings:counts') {
      this.counts = data;
      this.#counted = this.#news.length;
    }
    for (const wake of this.#wake.splice(0)) wake();
  }

  async #until(what, holds) {
    const wait = async () => {
      while (!holds()) {
        equal(this.#refused, undefined, `${this.visitor.channel} is refused`);
        await new Promise((resolve) => this.#wake.push(resolve));
      }
    };
    await within(what, wait());
  }
}
