// The list of notifications and the reading of one.

import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { Inbox } from '../host/inbox.js';

const DATE = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/;
const CLOCK_MS = 60_000;

const inbox = await Inbox.open();
after(() => inbox.close());

test('an empty list is an array', async () => {
  const visitor = await inbox.visitor();
  deepEqual(await visitor.listAnswer(), { Data: [], Success: true, Errors: null });
});

test('a notification has every field of the documents, in its type', async () => {
  const visitor = await inbox.visitor();
  const content = {
    title: 'Parcel on its way',
    message: '<p>It left the <b>depot</b>.</p>',
    preview_text: 'It left the depot.',
    footer_text: '<i>No reply</i>',
    image_url: 'https://shop.example/parcel.png',
    cta_button_link: 'https://shop.example/o/A-19',
    cta_button_text: 'Track',
    cta_button2_link: 'https://shop.example/help',
    cta_button2_text: 'Help',
    event: 'message',
    display_type: 'silent',
    data: { order: 'A-19', lines: [1, 2.5, null], deep: { 'zażółć 🛎️': true } },
    expires: '2099-02-01 00:00:00',
  };
  const { MessageId, Date: date, ...rest } = await inbox.notified(visitor, content);
  ok(Number.isSafeInteger(MessageId) && MessageId > 0);
  match(date, DATE);
  ok(Math.abs(new Date(`${date.replace(' ', 'T')}Z`) - Date.now()) < CLOCK_MS, date);
  deepEqual(rest, {
    UserId: visitor.userId,
    Event: 'message',
    DisplayType: 'silent',
    Title: content.title,
    Message: content.message,
    PreviewText: content.preview_text,
    FooterText: content.footer_text,
    Data: content.data,
    CTAButtonLink: content.cta_button_link,
    CTAButtonText: content.cta_button_text,
    CTAButton2Link: content.cta_button2_link,
    CTAButton2Text: content.cta_button2_text,
    ImageUrl: content.image_url,
    IsRead: false,
    Expires: content.expires,
  });
});

test('what a notification does not have is an empty text, an empty object, or null for Expires', async () => {
  const visitor = await inbox.visitor();
  const { MessageId, Date: date, ...rest } = await inbox.notified(visitor, { title: 'Bare' });
  match(date, DATE);
  deepEqual(rest, {
    UserId: visitor.userId,
    Event: 'inbox',
    DisplayType: 'push',
    Title: 'Bare',
    Message: '',
    PreviewText: '',
    FooterText: '',
    Data: {},
    CTAButtonLink: '',
    CTAButtonText: '',
    CTAButton2Link: '',
    CTAButton2Text: '',
    ImageUrl: '',
    IsRead: false,
    Expires: null,
  });
});

describe('unread-only and inbox-only', () => {
  const contents = [
    { title: 'inbox read', event: 'inbox' },
    { title: 'message read', event: 'message' },
    { title: 'inbox', event: 'inbox' },
    { title: 'message', event: 'message' },
    { title: 'shoutout', event: 'shoutout' },
  ];
  const all = contents.map(({ title }) => title).reverse();
  const expected = {
    'unread-only=false&inbox-only=false': all,
    'unread-only=true&inbox-only=false': ['shoutout', 'message', 'inbox'],
    'unread-only=false&inbox-only=true': ['inbox', 'inbox read'],
    'unread-only=true&inbox-only=true': ['inbox'],
    '': all,
    'unread-only=true': ['shoutout', 'message', 'inbox'],
    'inbox-only=true': ['inbox', 'inbox read'],
    'unread-only=banana&inbox-only=': all,
    'unread-only&inbox-only=%FF': all,
    '_=1700000000000&inbox-only=true': ['inbox', 'inbox read'],
  };
  // Made by the first test that asks.
  let made;
  const make = async () => {
    const visitor = await inbox.visitor();
    for (const content of contents) {
      const { MessageId } = await inbox.notified(visitor, content);
      if (content.title.endsWith(' read')) await visitor.mark(MessageId);
    }
    return visitor;
  };

  for (const [query, titles] of Object.entries(expected)) {
    test(`?${query}`, async () => {
      made ??= make();
      deepEqual(await (await made).titles(query), titles);
    });
  }
});

test('the newest is first, also of many that were sent at once', async () => {
  const visitor = await inbox.visitor();
  await Promise.all(Array.from({ length: 50 }, (_, n) => inbox.notify(visitor, { title: `t ${n}` })));
  const list = await visitor.list();
  equal(list.length, 50);
  const ids = list.map(({ MessageId }) => MessageId);
  deepEqual(
    ids,
    [...ids].sort((a, b) => b - a),
  );
});

test('one notification is as it stands in the list', async () => {
  const visitor = await inbox.visitor();
  const item = await inbox.notified(visitor, { title: 'One', message: 'of many' });
  deepEqual(await visitor.one(item.MessageId), { Data: item, Success: true, Errors: null });
  deepEqual((await visitor.one(item.MessageId)).Data.IsRead, false, 'reading one does not mark it');
});

for (const id of ['1', '0', '-1', 'abc', '1.5', '99999999999999999999999999', '%20', '5001%00']) {
  test(`there is no notification ${id}`, async () => {
    const visitor = await inbox.visitor();
    deepEqual(await visitor.one(id), { Data: null, Success: false, Errors: ['notification not found'] });
  });
}

test('list, one, mark and delete take the sid in place of the token', async () => {
  const visitor = await inbox.visitor();
  visitor.token = visitor.sid;
  const { MessageId } = await inbox.notified(visitor, { title: 'By sid' });
  equal((await visitor.one(MessageId)).Success, true);
  equal((await visitor.mark(MessageId)).Success, true);
  equal((await visitor.list())[0].IsRead, true);
  equal((await visitor.remove(MessageId)).Success, true);
  deepEqual(await visitor.list(), []);
});

test('what a token may see it may see at the root too, whatever its brand', async () => {
  for (const brand of ['acorn', 'birch']) {
    const visitor = await inbox.visitor({ brand });
    visitor.fusionUrl = inbox.server.url;
    const { MessageId } = await inbox.notified(visitor, { title: brand });
    deepEqual(await visitor.titles(), [brand]);
    equal((await visitor.one(MessageId)).Success, true);
    equal((await visitor.mark(MessageId)).Success, true);
    equal((await visitor.remove(MessageId)).Success, true);
  }
});
