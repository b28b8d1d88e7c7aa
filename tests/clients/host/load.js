// Senders and visitors that are at work while a server dies and comes back.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { pause } from '../shared/recorder.js';
import { activity, Sender } from './onsite.js';

const RETRY_MS = 20;
const SINGLES = 4;
const BATCHES = 2;
/** A batch holds at most so many. */
const BATCH = 12;
const BIG_BATCH = 500;

let activities = 1_000_000;

export class Load {
  #stopping = false;
  #work = [];

  constructor(server, visitors, ledger) {
    Object.assign(this, { sender: new Sender(server), visitors, ledger });
  }

  /** Begins to send, mark and delete, all at once. */
  start() {
    this.#stopping = false;
    const workers = [
      ...Array(SINGLES).fill(() => this.#sendOne()),
      ...Array(BATCHES).fill(() => this.#sendBatch()),
      ...this.visitors.map((visitor) => () => this.#changeOne(visitor)),
    ];
    this.#work = workers.map(async (work) => {
      while (!this.#stopping) await work();
    });
    // A worker that fails is told of by `until` and `stop`.
    for (const work of this.#work) work.catch(() => (this.#stopping = true));
  }

  /** Waits for something while they are at work; fails at once if one of them does. */
  async until(happened) {
    await Promise.race([happened, Promise.all(this.#work)]);
  }

  /** Has everybody end what they are at, which for senders is when it is acknowledged. */
  async stop() {
    this.#stopping = true;
    await Promise.all(this.#work);
  }

  /** Sends something new to somebody, until it is acknowledged. */
  async send(visitor) {
    const item = this.#item(visitor);
    await this.#repeat(item);
    return item.activity.id;
  }

  /** Sends these as if they had not been acknowledged. */
  async sendAgain(entries) {
    for (let start = 0; start < entries.length; start += BIG_BATCH) {
      const part = entries.slice(start, start + BIG_BATCH);
      await this.#repeatBatch(part.map(({ id, person }) => content(id, person)));
    }
  }

  async #sendOne() {
    // Now and then a sender has forgotten that it was acknowledged.
    const known = Math.random() < 0.1 ? pick(this.ledger.entries) : undefined;
    if (known?.reference === undefined) await this.send(pick(this.visitors));
    else await this.#repeat(content(known.id, known.person));
  }

  /** As the CRM does: 2xx is acknowledged, 4xx is lost for good, anything else is sent again. */
  async #repeat(item) {
    for (;;) {
      const answer = await attempt(() => this.sender.single(item));
      if (answer?.status >= 200 && answer.status < 300) {
        return this.ledger.acknowledge(item.activity.id, answer.body.site_notification_id);
      }
      ok(!(answer?.status >= 400 && answer.status < 500), `lost for good: ${answer?.status} ${answer?.text}`);
      await pause(RETRY_MS);
    }
  }

  async #sendBatch() {
    const length = 1 + Math.floor(Math.random() * BATCH);
    await this.#repeatBatch(Array.from({ length }, () => this.#item(pick(this.visitors))));
  }

  /** As the CRM does: only 200 counts; of it, what is fatal or missing is sent again. */
  async #repeatBatch(items) {
    let open = items;
    while (open.length > 0) {
      const answer = await attempt(() => this.sender.batch(open));
      if (answer?.status === 200) {
        deepEqual(answer.body.failed, [], 'lost for good');
        const stored = new Map(answer.body.successful.map(({ id, site_notification_id: it }) => [id, it]));
        equal(stored.size, answer.body.successful.length, answer.text);
        for (const [id, reference] of stored) this.ledger.acknowledge(id, reference);
        open = open.filter(({ activity: { id } }) => !stored.has(id));
      }
      if (open.length > 0) await pause(RETRY_MS);
    }
  }

  /** As a page does: once; what was not answered may have been done. */
  async #changeOne(visitor) {
    const list = await attempt(() => visitor.list());
    const shown = list && pick(list.filter(({ Title }) => this.ledger.has(Number(Title))));
    if (shown === undefined) return pause(RETRY_MS);
    const change = Math.random() < 0.8 ? 'read' : 'deleted';
    const done = this.ledger.changing(shown.Title, change);
    const answer = await attempt(() =>
      change === 'read' ? visitor.mark(shown.MessageId) : visitor.remove(shown.MessageId),
    );
    if (answer === undefined) return undefined;
    deepEqual(answer, { Data: true, Success: true, Errors: [] });
    done();
  }

  #item({ person }) {
    activities += 1;
    this.ledger.expect(activities, person);
    return content(activities, person);
  }
}

function content(id, person) {
  return activity({ id, person, title: String(id), message: '<p>It left the depot.</p>' });
}

/** What was answered; nothing, if the connection broke. */
async function attempt(call) {
  try {
    return await call();
  } catch (error) {
    // What fetch throws then, and nothing else does.
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

function pick(all) {
  return all[Math.floor(Math.random() * all.length)];
}
