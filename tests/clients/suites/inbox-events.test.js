// What the socket tells: new notifications, counts, and what changed on another device.

import { deepEqual, equal, match } from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { eventsUpTo, isNews, KINDS, nextNews } from '../host/fusion.js';
import { Inbox } from '../host/inbox.js';
import { answer } from '../host/backend.js';
import { brands } from '../host/brands.js';

const inbox = await Inbox.open();
after(() => inbox.close());

const next = (events, name) => events.nextWhere(({ event }) => event === name);
/** The data of the next two events, whichever is first. */
async function nextTwo(events) {
  const [one, other] = [await events.next(), await events.next()];
  return { [one.event]: one.data, [other.event]: other.data };
}

const counts = (Unread, Unseen, Total) => ({ Unread, Unseen, Total });

for (const kind of KINDS) {
  test(`${kind} arrives as the object that stands in the list`, async () => {
    const visitor = await inbox.visitor();
    const events = await visitor.listen();
    await inbox.notify(visitor, { title: 'Zażółć 🛎️', message: '<p>"a" \\ </p>', event: kind, data: { a: [1] } });
    const { event, data } = await nextNews(events);
    equal(event, kind);
    equal(data.Event, kind);
    deepEqual([data], await visitor.list());
  });
}

test('silent: the inbox event arrives, and says so', async () => {
  const visitor = await inbox.visitor();
  const events = await visitor.listen();
  await inbox.notify(visitor, { title: 'hush', display_type: 'silent' });
  const { event, data } = await nextNews(events);
  equal(event, 'inbox');
  equal(data.DisplayType, 'silent');
  deepEqual([data], await visitor.list());
  deepEqual((await next(events, 'tidings:counts')).data, counts(1, 1, 1));
});

test('what is sent in a row arrives in that order, and on every device', async () => {
  const visitor = await inbox.visitor();
  const devices = [await visitor.listen(), await (await inbox.device(visitor)).listen()];
  const titles = Array.from({ length: 30 }, (_, n) => `t ${n}`);
  for (const title of titles) await inbox.notify(visitor, { title });
  for (const events of devices) {
    for (const title of titles) equal((await nextNews(events)).data.Title, title);
  }
});

test('another person, also of another brand, gets nothing of it', async () => {
  const visitor = await inbox.visitor();
  const others = [await inbox.visitor(), await inbox.visitor({ brand: 'birch', person: visitor.person })];
  const heard = await Promise.all(others.map((other) => other.listen()));
  await inbox.notify(visitor, { title: 'not for others' });
  await visitor.mark((await visitor.list())[0].MessageId);
  for (const [index, other] of others.entries()) {
    await inbox.notify(other, { title: 'marker' });
    equal((await heard[index].next()).data.Title, 'marker');
  }
});

describe('across two devices', () => {
  const open = async () => {
    const visitor = await inbox.visitor();
    const items = [await inbox.notified(visitor, { title: 'a' }), await inbox.notified(visitor, { title: 'b' })];
    const other = await inbox.device(visitor);
    return {
      visitor,
      other,
      ids: items.map(({ MessageId }) => MessageId),
      heard: [await visitor.listen(), await other.listen()],
    };
  };

  test('a new notification comes with the counts', async () => {
    const { visitor, heard } = await open();
    await inbox.notify(visitor, { title: 'c', event: 'shoutout' });
    for (const events of heard) {
      equal((await next(events, 'shoutout')).data.Title, 'c');
      deepEqual((await next(events, 'tidings:counts')).data, counts(3, 3, 3));
    }
  });

  test('a mark on one is known to both', async () => {
    const { visitor, other, heard, ids } = await open();
    await visitor.mark(ids[0]);
    for (const events of heard) {
      deepEqual(await nextTwo(events), {
        'tidings:updated': { MessageIds: [ids[0]], All: false, Set: 'read' },
        'tidings:counts': counts(1, 1, 2),
      });
    }
    deepEqual(
      (await other.list('unread-only=true')).map(({ MessageId }) => MessageId),
      [ids[1]],
    );
  });

  test('a deletion on one is known to both', async () => {
    const { visitor, other, heard, ids } = await open();
    await other.remove(ids[1]);
    for (const events of heard) {
      deepEqual(await nextTwo(events), {
        'tidings:deleted': { MessageIds: [ids[1]] },
        'tidings:counts': counts(1, 1, 1),
      });
    }
    deepEqual(await visitor.titles(), ['a']);
  });

  test('a failed mark or deletion is no news', async () => {
    const { visitor, heard } = await open();
    equal((await visitor.mark(1)).Success, false);
    equal((await visitor.remove(1)).Success, false);
    await inbox.notify(visitor, { title: 'marker' });
    for (const events of heard) equal((await events.next()).data.Title, 'marker');
  });
});

test('what is larger than an event may be arrives without its text and data, and says so', async () => {
  const visitor = await inbox.visitor();
  const events = await visitor.listen();
  const content = {
    title: 'Long',
    message: 'żółć '.repeat(2_500),
    preview_text: 'short',
    data: { a: 'b'.repeat(100) },
  };
  await inbox.notify(visitor, content);
  const { event, data } = await nextNews(events);
  const [item] = await visitor.list();
  equal(event, 'inbox');
  equal(item.Message, content.message);
  deepEqual(item.Data, content.data);
  deepEqual(data, { ...item, Message: '', Data: {}, Truncated: true });
});

test('what is just as large as an event may be arrives whole', async () => {
  const visitor = await inbox.visitor();
  const events = await visitor.listen();
  await inbox.notify(visitor, { title: 'Fits', message: 'a'.repeat(9_000) });
  const { data } = await nextNews(events);
  deepEqual([data], await visitor.list());
});

describe('the plain publish call of Pusher', () => {
  for (const name of ['tidings:counts', 'tidings:updated', 'tidings:deleted', 'tidings:anything', 'tidings:']) {
    test(`may not send ${name}`, async () => {
      const visitor = await inbox.visitor();
      const events = await visitor.listen();
      const library = inbox.library('acorn');
      const single = await answer(library.trigger(visitor.channel, name, counts(0, 0, 0)));
      equal(single.status, 400);
      match(single.body, /reserved/);
      const batch = await answer(library.triggerBatch([{ channel: visitor.channel, name, data: '{}' }]));
      equal(batch.status, 400);
      await library.trigger(visitor.channel, 'crm_campaign', { a: 1 });
      deepEqual(await events.next(), { event: 'crm_campaign', data: { a: 1 } });
    });
  }

  test('reaches the page under the names of notifications too, and is not stored', async () => {
    const visitor = await inbox.visitor();
    const events = await visitor.listen();
    for (const kind of KINDS) {
      await inbox.library('acorn').trigger(visitor.channel, kind, { Title: 'passing' });
      deepEqual(await events.next(), { event: kind, data: { Title: 'passing' } });
    }
    deepEqual(await visitor.list(), []);
  });

  test("of another brand's app does not reach the page", async () => {
    const visitor = await inbox.visitor();
    const events = await visitor.listen();
    await inbox.library('birch').trigger(visitor.channel, 'inbox', { Title: 'forged' });
    await inbox.library('acorn').trigger(visitor.channel, 'inbox', { Title: 'marker' });
    equal((await events.next()).data.Title, 'marker');
  });
});

describe('expiry', () => {
  // In whole seconds, as `Expires` is; far enough that the list is read before.
  const soon = () => `${new Date(Date.now() + 3_000).toISOString().slice(0, 19).replace('T', ' ')}`;

  test('takes a notification out of list, counts and single read, and both devices are told', async () => {
    const visitor = await inbox.visitor();
    await inbox.notify(visitor, { title: 'stays' });
    const expires = soon();
    const item = await inbox.notified(visitor, { title: 'expires', expires });
    equal(item.Expires, expires);
    const heard = [await visitor.listen(), await (await inbox.device(visitor)).listen()];
    for (const events of heard) {
      deepEqual(await nextTwo(events), {
        'tidings:deleted': { MessageIds: [item.MessageId] },
        'tidings:counts': counts(1, 1, 1),
      });
    }
    deepEqual(await visitor.titles(), ['stays']);
    equal((await visitor.one(item.MessageId)).Success, false);
    equal((await visitor.mark(item.MessageId)).Success, false);
    equal((await visitor.remove(item.MessageId)).Success, false);
  });

  test('leaves the key of a notification known', async () => {
    const visitor = await inbox.visitor();
    const events = await visitor.listen();
    const content = { id: `expiring-${visitor.person}`, title: 'expires', expires: soon() };
    const ref = await inbox.notify(visitor, content);
    equal((await nextNews(events)).data.Title, 'expires');
    await next(events, 'tidings:deleted');
    equal(await inbox.notify(visitor, content), ref);
    await inbox.notify(visitor, { title: 'marker' });
    const seen = await eventsUpTo(events, isNews);
    equal(seen.at(-1).data.Title, 'marker');
  });
});

test("a brand's page on another app than the first has all of this too", async () => {
  const visitor = await inbox.visitor({ brand: 'birch' });
  const events = await visitor.listen({ authToken: visitor.token });
  await inbox.notify(visitor, { title: 'of birch', event: 'message' });
  deepEqual([(await next(events, 'message')).data], await visitor.list());
  equal(visitor.channel, `private-prisma-${brands.birch.id}-${visitor.userId}`);
});
