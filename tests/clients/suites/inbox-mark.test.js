// Marking as read: `POST /Notifications/MarkNotificationAsRead`.

import { deepEqual, equal } from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { eventsUpTo, FORM, isCounts } from '../host/fusion.js';
import { Inbox } from '../host/inbox.js';

const DONE = { Data: true, Success: true, Errors: [] };
const NOT_FOUND = { Data: false, Success: false, Errors: ['notification not found'] };
const MISSING = { Data: false, Success: false, Errors: ['MessageId missing'] };

const inbox = await Inbox.open();
after(() => inbox.close());

const text = (id) => JSON.stringify({ MessageId: id });

describe('a notification is read after', () => {
  const bodies = {
    'JSON as a form, as jQuery sends it': [text, FORM],
    'JSON as text, as fetch sends it': [text, 'text/plain;charset=UTF-8'],
    'JSON as JSON': [text, 'application/json'],
    // Only a text gets a content type from fetch.
    'JSON without a content type': [(id) => new TextEncoder().encode(text(id)), undefined],
    'JSON as something unheard of': [text, 'x/y; z'],
    'a true form': [(id) => `MessageId=${id}`, FORM],
    'a true form with more in it': [(id) => `a=b&MessageId=${id}&c`, 'application/x-www-form-urlencoded'],
    'the number as a text': [(id) => text(String(id)), FORM],
    'white space around, and other keys': [(id) => ` { "x": [1], "MessageId" : ${id} }\n`, FORM],
  };
  for (const [what, [make, contentType]] of Object.entries(bodies)) {
    test(what, async () => {
      const visitor = await inbox.visitor();
      const [kept, item] = [
        await inbox.notified(visitor, { title: 'a' }),
        await inbox.notified(visitor, { title: 'b' }),
      ];
      deepEqual(await visitor.markWith(make(item.MessageId), contentType), DONE);
      deepEqual(await visitor.list(), [{ ...item, IsRead: true }, kept]);
    });
  }
});

test('without a content type none is sent', async () => {
  const request = new Request('http://unused', { method: 'POST', body: new TextEncoder().encode('{}') });
  equal(request.headers.get('content-type'), null);
});

describe('MessageId is missing in', () => {
  const bodies = [
    '',
    '{}',
    'no JSON',
    '{"MessageId":',
    '{"MessageId":null}',
    '{"MessageId":[1]}',
    '{"MessageId":""}',
    '[5001]',
    '5001',
    'null',
    'MessageId=',
    'Message=1',
    '\0',
  ];
  for (const body of bodies) {
    test(JSON.stringify(body), async () => {
      const visitor = await inbox.visitor();
      deepEqual(await visitor.markWith(body, FORM), MISSING);
    });
  }
});

test('marking again succeeds, and is no news to anybody', async () => {
  const visitor = await inbox.visitor();
  const { MessageId } = await inbox.notified(visitor, { title: 'once' });
  const events = await visitor.listen();
  deepEqual(await visitor.mark(MessageId), DONE);
  await events.nextWhere(isCounts);
  deepEqual(await visitor.mark(MessageId), DONE);
  await inbox.notify(visitor, { title: 'marker' });
  const seen = await eventsUpTo(events, ({ event }) => event === 'inbox');
  deepEqual(
    seen.map(({ event }) => event),
    ['inbox'],
  );
});

test('unknown, deleted, and malformed ids are answered alike', async () => {
  const visitor = await inbox.visitor();
  const { MessageId } = await inbox.notified(visitor, { title: 'gone' });
  await visitor.remove(MessageId);
  for (const id of [MessageId, 1, 0, -1, Number.MAX_SAFE_INTEGER])
    deepEqual(await visitor.mark(id), NOT_FOUND, String(id));
});

test('a burst of marks, one for each notification, is carried out', async () => {
  const visitor = await inbox.visitor();
  await Promise.all(Array.from({ length: 50 }, (_, n) => inbox.notify(visitor, { title: `t ${n}` })));
  const list = await visitor.list();
  const answers = await Promise.all(list.map(({ MessageId }) => visitor.mark(MessageId)));
  deepEqual(
    answers,
    list.map(() => DONE),
  );
  deepEqual(
    await visitor.list(),
    list.map((item) => ({ ...item, IsRead: true })),
  );
});

test('at most the marked one changes when a mark fails', async () => {
  const visitor = await inbox.visitor();
  const item = await inbox.notified(visitor, { title: 'still unread' });
  await visitor.markWith(`{"MessageId":${item.MessageId}`, FORM);
  await visitor.mark(item.MessageId + 1);
  deepEqual(await visitor.list(), [item]);
});
