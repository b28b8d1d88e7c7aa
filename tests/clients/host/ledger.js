// What the tests know that a server has acknowledged, kept outside of it, and what must then be there.

import { deepEqual, equal, ok } from 'node:assert/strict';

/** What is known to have been done, or may have been: the call was never answered. */
const Done = { NO: 'no', MAYBE: 'maybe', YES: 'yes' };

export class Ledger {
  /** By `activity.id`; a notification's title is its activity's id. */
  #entries = new Map();
  #acknowledged = 0;
  #awaited = [];

  /** Notes an activity that is going to be sent. */
  expect(id, person) {
    this.#entries.set(id, { id, person, reference: undefined, read: Done.NO, deleted: Done.NO });
  }

  /** Notes that the server has said it is stored, under this reference; the same as ever. */
  acknowledge(id, reference) {
    const entry = this.#entries.get(id);
    ok(entry, `activity ${id} was not sent`);
    ok(typeof reference === 'string' && reference !== '', `activity ${id} has the reference ${reference}`);
    entry.reference ??= reference;
    equal(reference, entry.reference, `activity ${id} was stored under another reference before`);
    this.#acknowledged += 1;
    this.#awaited = this.#awaited.filter(({ count, resolve }) => this.#acknowledged < count || resolve());
  }

  /** Waits for so many acknowledgements more. */
  more(count) {
    return new Promise((resolve) => this.#awaited.push({ count: this.#acknowledged + count, resolve }));
  }

  /** Notes that a notification is being changed: `read` or `deleted`; gives what to call when it is answered. */
  changing(title, change) {
    const entry = this.#entries.get(Number(title));
    if (entry[change] === Done.NO) entry[change] = Done.MAYBE;
    return () => (entry[change] = Done.YES);
  }

  has(id) {
    return this.#entries.has(id);
  }

  get entries() {
    return [...this.#entries.values()];
  }

  of(person) {
    return this.entries.filter((entry) => entry.person === person);
  }

  /** Checks a person's list: everything acknowledged is there once, changed as was answered. */
  check(person, list) {
    const titles = list.map(({ Title }) => Title);
    const once = new Set(titles);
    equal(titles.length, once.size, `something is there twice: ${titles}`);
    const listed = new Map(list.map((notification) => [notification.Title, notification]));
    for (const entry of this.of(person)) {
      ok(entry.reference, `activity ${entry.id} was sent until it was acknowledged`);
      const there = listed.get(String(entry.id));
      if (entry.deleted === Done.NO) ok(there, `activity ${entry.id} is lost`);
      if (entry.deleted === Done.YES) ok(!there, `activity ${entry.id} was deleted and is there`);
      if (there && entry.read !== Done.MAYBE) {
        equal(there.IsRead, entry.read === Done.YES, `activity ${entry.id} is read: ${entry.read}`);
      }
      once.delete(String(entry.id));
    }
    deepEqual([...once], [], 'nobody has sent these');
  }
}
