// `POST /channels/site/batch`: every item in one of three categories, whatever becomes of the others, and once means
// once.

import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { eventsUpTo, isNews } from '../host/fusion.js';
import { Inbox, newPerson } from '../host/inbox.js';
import { activity, Sender } from '../host/onsite.js';
import { Storage, WITHOUT_SIGXFSZ } from '../host/storage.js';

const inbox = await Inbox.open({ launcher: WITHOUT_SIGXFSZ });
const { sender, server } = inbox;
const storage = new Storage(server);
after(() => inbox.close());

const ids = (entries) => entries.map(({ id }) => id);

/** Every entry that is no success tells why, and nothing else. */
function tellWhy(entries) {
  for (const entry of entries) {
    deepEqual(Object.keys(entry).sort(), ['error', 'id']);
    equal(typeof entry.error, 'string');
    ok(entry.error.length > 0);
  }
}

/** The titles of news up to and with that of a marker, which is sent now. */
async function newsUpToMarker(visitor, events) {
  await inbox.notify(visitor, { title: 'marker' });
  const seen = await eventsUpTo(events, (entry) => isNews(entry) && entry.data.Title === 'marker');
  return seen.filter(isNews).map(({ data }) => data.Title);
}

test('good, bad and storage-failing items: each in its category, ids in their own type', async () => {
  const visitor = await inbox.visitor();
  const events = await visitor.listen();
  const { person } = visitor;
  const items = [
    activity({ person, id: 700_001, title: 'good 1' }),
    activity({ person, id: '700002', title: 'cannot be stored' }),
    activity({ person, id: 700_003 }),
    activity({ person, id: 'seven', title: 'good 2', event: 'shoutout' }),
    activity({ person, id: '700005', title: 'a', display_type: 'loud' }),
    activity({ person, id: 700_006, title: 'good 3', event: 'message' }),
  ];
  const first = await storage.whileRefusing('cannot be stored', () => sender.sendBatch(items));
  deepEqual(ids(first.successful), [700_001, 'seven', 700_006]);
  deepEqual(ids(first.failed), [700_003, '700005']);
  deepEqual(ids(first.fatal), ['700002']);
  equal(first.failed[0].error, 'no content');
  tellWhy([...first.failed, ...first.fatal]);
  for (const entry of first.successful) {
    deepEqual(Object.keys(entry).sort(), ['id', 'site_notification_id']);
    match(entry.site_notification_id, /^n_/);
  }
  deepEqual(await visitor.titles(), ['good 3', 'good 2', 'good 1']);

  const second = await sender.sendBatch(items);
  deepEqual(ids(second.successful), [700_001, '700002', 'seven', 700_006]);
  deepEqual(second.fatal, []);
  deepEqual(
    second.successful.filter(({ id }) => id !== '700002'),
    first.successful,
  );
  const sent = ['good 1', 'good 2', 'good 3', 'cannot be stored'];
  deepEqual(await newsUpToMarker(visitor, events), [...sent, 'marker']);
  deepEqual(await visitor.titles(), [...sent, 'marker'].reverse());
});

describe('the answer has all three categories', () => {
  const person = newPerson();
  const good = () => activity({ person, title: 'a' });
  const bad = () => activity({ person });

  test('of good ones only', async () => {
    const { successful, failed, fatal } = await sender.sendBatch([good(), good()]);
    deepEqual([successful.length, failed, fatal], [2, [], []]);
  });

  test('of a single one', async () => {
    equal((await sender.sendBatch([good()])).successful.length, 1);
  });

  test('of bad ones only', async () => {
    const { successful, failed, fatal } = await sender.sendBatch([bad(), bad()]);
    deepEqual([successful, failed.length, fatal], [[], 2, []]);
  });

  test('of none', async () => {
    deepEqual(await sender.sendBatch([]), { successful: [], failed: [], fatal: [] });
  });

  test('of one array in an object, whatever it is called', async () => {
    for (const name of ['notifications', 'items', 'data', 'x']) {
      equal((await sender.sendBatch({ [name]: [good()], count: 1 })).successful.length, 1, name);
    }
  });

  test('mounted under the brand', async () => {
    const { status, body } = await sender.post('/b/acorn/channels/site/batch', JSON.stringify([good()]));
    equal(status, 200);
    equal(body.successful.length, 1);
  });
});

test('an item without an id that could be named is left out, the others are not', async () => {
  const visitor = await inbox.visitor();
  const { person } = visitor;
  const withId = (id) => ({
    ...activity({ person, title: 'unnamed' }),
    activity: { ...activity({ person }).activity, id },
  });
  const items = [
    null,
    5,
    'text',
    [],
    {},
    { activity: null },
    { activity: 'x' },
    withId(undefined),
    withId(null),
    withId({}),
    withId([1]),
    withId(true),
    activity({ person, id: 'named', title: 'named' }),
  ];
  const { successful, failed, fatal } = await sender.sendBatch(items);
  deepEqual([ids(successful), failed, fatal], [['named'], [], []]);
  deepEqual(await visitor.titles(), ['named']);
});

test('the same id twice in a batch is one notification, listed once', async () => {
  const visitor = await inbox.visitor();
  const events = await visitor.listen();
  const { person } = visitor;
  const twice = activity({ person, title: 'twice' });
  const between = activity({ person, title: 'between' });
  const { successful, failed, fatal } = await sender.sendBatch([twice, between, twice, { ...twice, title: 'changed' }]);
  deepEqual([ids(successful), failed, fatal], [[twice.activity.id, between.activity.id], [], []]);
  deepEqual(await newsUpToMarker(visitor, events), ['twice', 'between', 'marker']);
  deepEqual(await visitor.titles(), ['marker', 'between', 'twice']);
});

test('the same id twice in a batch is what it was the first time, whatever is wrong with it the second', async () => {
  const { person } = await inbox.visitor();
  const [good, bad] = [activity({ person, title: 'good' }), activity({ person })];
  const items = [
    good,
    { activity: good.activity },
    bad,
    { ...bad, title: 'too late' },
    { ...bad, display_type: 'loud' },
  ];
  const { successful, failed, fatal } = await sender.sendBatch(items);
  deepEqual([ids(successful), ids(failed), fatal], [[good.activity.id], [bad.activity.id], []]);
});

test('ids of many digits come back to the last of them', async () => {
  const person = newPerson();
  const texts = ['9007199254740993', '9223372036854775807', '"9007199254740995"', '"żółć \\" 🛎️"'];
  const items = texts.map((text) => JSON.stringify(activity({ person, id: '@', title: 'a' })).replace('"@"', text));
  const { status, text } = await sender.post('/channels/site/batch', `[${items}]`);
  equal(status, 200, text);
  // Read as text: JSON.parse would round them.
  const found = [...text.matchAll(/"id":("(?:[^"\\]|\\.)*"|[^,}]+)/g)].map(([, id]) => id);
  deepEqual(found, texts);
});

test('an item of another brand, or of none, fails alone, and is not stored', async () => {
  const person = newPerson();
  const mine = activity({ person, title: 'mine' });
  const theirs = activity({ brand: 'birch', person, title: 'theirs' });
  const nobodys = activity({ person, title: "nobody's" });
  nobodys.activity.brand_id = 999;
  const { successful, failed, fatal } = await sender.sendBatch([theirs, mine, nobodys]);
  deepEqual([ids(successful), fatal], [[mine.activity.id], []]);
  deepEqual(ids(failed), [theirs.activity.id, nobodys.activity.id]);
  tellWhy(failed);
  deepEqual(await (await inbox.visitor({ person })).titles(), ['mine']);
  deepEqual(await (await inbox.visitor({ brand: 'birch', person })).titles(), []);
});

describe('the whole batch comes again', () => {
  const text = JSON.stringify([activity({ person: newPerson(), title: 'never' })]);
  const failed = ({ status, body, text: answer }, expected) => {
    equal(status, expected, answer);
    equal(typeof body.error, 'string');
    deepEqual(body, { error: body.error, code: status });
  };

  for (const body of ['', '[', '{"a":', 'null', '5', '"x"', '{}', '{"a":1}', '{"a":[],"b":[]}', '\0']) {
    test(`${JSON.stringify(body)}: 400`, async () => failed(await sender.post('/channels/site/batch', body), 400));
  }

  for (const [what, apiKey] of [
    ['a wrong key', 'api-key-of-nobody'],
    ['no key', null],
  ]) {
    test(`${what}: 401`, async () => failed(await new Sender(server, apiKey).post('/channels/site/batch', text), 401));
  }
});

test('of too many items none is lost: each is a success or comes again', async () => {
  const visitor = await inbox.visitor();
  const items = Array.from({ length: 900 }, (_, n) => activity({ person: visitor.person, title: `t ${n}` }));
  let left = items;
  for (let round = 1; left.length > 0; round += 1) {
    ok(round <= 20, `${left.length} left after ${round - 1} rounds`);
    const { successful, failed, fatal } = await sender.sendBatch(left);
    deepEqual(failed, []);
    deepEqual([...ids(successful), ...ids(fatal)].sort(), ids(left.map((item) => item.activity)).sort());
    ok(successful.length > 0);
    const again = new Set(ids(fatal));
    left = left.filter((item) => again.has(item.activity.id));
  }
  deepEqual(new Set(await visitor.titles()), new Set(items.map(({ title }) => title)));
  equal((await visitor.list()).length, items.length);
});

test('a crash in between and a full resend give no double, and lose nothing that was acknowledged', async () => {
  const visitor = await inbox.visitor();
  const batches = Array.from({ length: 20 }, (_, batch) =>
    Array.from({ length: 40 }, (_, n) => activity({ person: visitor.person, title: `${batch}-${n}` })),
  );
  const acknowledged = new Map();
  // The first answer ends the server; the others end with it, or had just come.
  const sending = batches.map(async (items) => {
    const answer = await sender.sendBatch(items);
    for (const { id, site_notification_id: ref } of answer.successful) acknowledged.set(id, ref);
  });
  await Promise.any(sending);
  await server.crash();
  const ends = await Promise.allSettled(sending);
  ok(
    ends.some(({ status }) => status === 'rejected'),
    'the crash came after all was done',
  );
  await server.restart();

  // What was acknowledged is there before anything is sent again.
  const stored = new Set(await visitor.titles());
  for (const {
    activity: { id },
    title,
  } of batches.flat()) {
    if (acknowledged.has(id)) ok(stored.has(title), `${title} was acknowledged and is lost`);
  }
  const events = await visitor.listen();
  const refs = new Map();
  for (const items of batches) {
    const { successful, failed, fatal } = await sender.sendBatch(items);
    deepEqual([failed, fatal], [[], []]);
    for (const { id, site_notification_id: ref } of successful) refs.set(id, ref);
  }
  equal(refs.size, batches.flat().length);
  equal(new Set(refs.values()).size, refs.size);
  for (const [id, ref] of acknowledged) equal(refs.get(id), ref);
  const titles = await visitor.titles();
  deepEqual(
    [...titles].sort(),
    batches
      .flat()
      .map(({ title }) => title)
      .sort(),
  );
  const news = (await newsUpToMarker(visitor, events)).filter((title) => title !== 'marker');
  equal(new Set(news).size, news.length, 'something was pushed twice');
  // What the resend stored is pushed; what was stored before is pushed at the start or found in the list.
  for (const title of titles) ok(stored.has(title) || news.includes(title), `${title} was stored but not pushed`);
});

test('a full disk: everything comes again, and then is there once', async () => {
  const visitor = await inbox.visitor();
  const items = [activity({ person: visitor.person, title: 'a' }), activity({ person: visitor.person, title: 'b' })];
  const { status, body, text } = await storage.whileFull(() => sender.batch(items));
  ok([200, 503].includes(status), text);
  if (status === 200) {
    deepEqual([body.successful, body.failed, ids(body.fatal)], [[], [], ids(items.map((item) => item.activity))]);
    tellWhy(body.fatal);
  } else {
    equal(typeof body.error, 'string');
  }
  equal((await sender.sendBatch(items)).successful.length, 2);
  deepEqual(await visitor.titles(), ['b', 'a']);
});

test('two senders of the same batch at once', async () => {
  const visitor = await inbox.visitor();
  const events = await visitor.listen();
  const items = Array.from({ length: 30 }, (_, n) => activity({ person: visitor.person, title: `t ${n}` }));
  const [one, other] = await Promise.all([sender.sendBatch(items), sender.sendBatch([...items].reverse())]);
  const refs = new Map(one.successful.map(({ id, site_notification_id: ref }) => [id, ref]));
  for (const { id, site_notification_id: ref } of other.successful) equal(refs.get(id) ?? ref, ref);
  equal((await sender.sendBatch(items)).successful.length, items.length);
  const titles = items.map(({ title }) => title);
  deepEqual((await newsUpToMarker(visitor, events)).sort(), [...titles, 'marker'].sort());
  deepEqual((await visitor.titles()).sort(), [...titles, 'marker'].sort());
});
