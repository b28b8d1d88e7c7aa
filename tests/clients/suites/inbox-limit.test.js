// An inbox holds a thousand: over that the oldest read one goes first, then the oldest unread one.

import { deepEqual, equal } from 'node:assert/strict';
import { after, test } from 'node:test';
import { Inbox } from '../host/inbox.js';
import { activity } from '../host/onsite.js';

const LIMIT = 1000;
const BATCH = 100;

const inbox = await Inbox.open();
after(() => inbox.close());

test('a full inbox stays full', async () => {
  const visitor = await inbox.visitor();
  const { person } = visitor;
  for (let n = 0; n < LIMIT; n += BATCH) {
    const items = Array.from({ length: BATCH }, (_, index) => activity({ person, title: `t ${n + index}` }));
    equal((await inbox.sender.sendBatch(items)).successful.length, BATCH);
  }
  let list = await visitor.list();
  equal(list.length, LIMIT);
  // Which one was sent when is in its title: those of one batch may have been stored in any order.
  const oldest = list.map(({ MessageId, Title }) => ({ MessageId, Title })).reverse();
  const read = [oldest[700], oldest[300]];
  for (const { MessageId } of read) await visitor.mark(MessageId);

  const events = await visitor.listen();
  const leaving = [oldest[300], oldest[700], oldest[0], oldest[1]];
  for (const [index, { MessageId }] of leaving.entries()) {
    await inbox.notify(visitor, { title: `over ${index}` });
    const { data } = await events.nextWhere(({ event }) => event === 'tidings:deleted');
    deepEqual(data, { MessageIds: [MessageId] });
  }
  list = await visitor.list();
  equal(list.length, LIMIT);
  const gone = new Set(leaving.map(({ MessageId }) => MessageId));
  const expected = [
    ...oldest.filter(({ MessageId }) => !gone.has(MessageId)).map(({ Title }) => Title),
    'over 0',
    'over 1',
    'over 2',
    'over 3',
  ];
  deepEqual(list.map(({ Title }) => Title).reverse(), expected);
  const { data } = await events.nextWhere(({ event, data }) => event === 'tidings:counts' && data.Unread === LIMIT);
  deepEqual(data, { Unread: LIMIT, Unseen: LIMIT, Total: LIMIT });
});

test('what left a full inbox does not come back when it is sent again', async () => {
  const visitor = await inbox.visitor();
  const { person } = visitor;
  const first = activity({ person, title: 'first' });
  const ref = await inbox.sender.send(first);
  for (let n = 0; n < LIMIT; n += BATCH) {
    await inbox.sender.sendBatch(Array.from({ length: BATCH }, () => activity({ person, title: 'later' })));
  }
  equal(await inbox.sender.send(first), ref);
  const titles = await visitor.titles();
  deepEqual([titles.length, titles.includes('first')], [LIMIT, false]);
});
