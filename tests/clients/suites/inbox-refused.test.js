// Somebody else's token, brand, id or key: refused in the right shape, nothing read, nothing changed.

import { deepEqual, equal } from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { brands, TEST_SID } from '../host/brands.js';
import { eventsUpTo, isNews } from '../host/fusion.js';
import { Inbox, newPerson } from '../host/inbox.js';
import { activity, Sender } from '../host/onsite.js';

const inbox = await Inbox.open();
const { server } = inbox;
after(() => inbox.close());

const notAuthenticated = (Data) => ({ Data, Success: false, Errors: ['not authenticated'] });
const notFound = (Data) => ({ Data, Success: false, Errors: ['notification not found'] });

/** Somebody with an unread notification, who hears all that happens to it. */
async function owner(brand = 'acorn') {
  const visitor = await inbox.visitor({ brand });
  const item = await inbox.notified(visitor, { title: 'private' });
  return { visitor, item, id: item.MessageId, events: await visitor.listen() };
}

/** Nothing has happened to what the owner has, nor was anything told. */
async function untouched({ visitor, item, events }) {
  deepEqual(await visitor.list(), [item]);
  await inbox.notify(visitor, { title: 'marker' });
  const seen = await eventsUpTo(events, isNews);
  deepEqual(
    seen.map(({ data }) => data.Title),
    ['marker'],
  );
}

describe('without a login', () => {
  const tokens = {
    'no token': undefined,
    'an empty token': '',
    'a token that nobody has': 'f'.repeat(64),
    'a token of another shape': '{"a":1}',
    'a very long token': 'a'.repeat(4_000),
    'the test sid where it is off': TEST_SID,
    'an api key': brands.acorn.apiKey,
    "an app's secret": 'secret-of-main',
  };
  for (const [what, token] of Object.entries(tokens)) {
    test(what, async () => {
      const whole = await owner();
      // The visitor's own token must not stand in for one that is absent.
      const nobody = Object.assign(inbox.stranger(), { token });
      deepEqual(await nobody.listAnswer(), notAuthenticated([]));
      deepEqual(await nobody.one(whole.id), notAuthenticated(null));
      deepEqual(await nobody.mark(whole.id), notAuthenticated(false));
      deepEqual(await nobody.remove(whole.id), notAuthenticated(false));
      await untouched(whole);
    });
  }

  test('a sid that the operator does not accept, or cannot check', async () => {
    const whole = await owner();
    for (const make of [
      (sid) => inbox.operators.acorn.status(sid, 401),
      (sid) => inbox.operators.acorn.fail(sid, 'drop'),
    ]) {
      const nobody = inbox.stranger();
      nobody.token = nobody.sid;
      make(nobody.sid);
      const answer = await nobody.listAnswer();
      deepEqual([answer.Data, answer.Success, answer.Errors.length], [[], false, 1]);
      deepEqual((await nobody.mark(whole.id)).Success, false);
    }
    await untouched(whole);
  });

  test('an unreadable body and no token', async () => {
    deepEqual(await inbox.stranger().markWith('{', undefined), notAuthenticated(false));
  });
});

for (const brand of ['acorn', 'birch']) {
  test(`somebody else's notification is not found, whoever asks (${brand})`, async () => {
    const whole = await owner();
    const other = await inbox.visitor({ brand });
    for (const base of [other.fusionUrl, server.url]) {
      other.fusionUrl = base;
      deepEqual(await other.one(whole.id), notFound(null));
      deepEqual(await other.mark(whole.id), notFound(false));
      deepEqual(await other.remove(whole.id), notFound(false));
      deepEqual(await other.list(), []);
    }
    await untouched(whole);
  });
}

for (const kind of ['token', 'sid']) {
  test(`a ${kind} is of no use under another brand's prefix`, async () => {
    const whole = await owner();
    const other = whole.visitor;
    const options = { token: other[kind] };
    const home = other.fusionUrl;
    other.fusionUrl = `${server.url}/b/birch`;
    deepEqual(await other.listAnswer(options), notAuthenticated([]));
    deepEqual(await other.one(whole.id, options), notAuthenticated(null));
    deepEqual(await other.mark(whole.id, options), notAuthenticated(false));
    deepEqual(await other.remove(whole.id, options), notAuthenticated(false));
    other.fusionUrl = home;
    await untouched(whole);
  });
}

test("another brand's operator is not asked for more than its own sids", async () => {
  const visitor = inbox.stranger();
  inbox.operators.birch.accept(visitor.sid, visitor.person);
  await visitor.login();
  equal(inbox.operators.birch.asked(visitor.sid), 0);
  const stranger = await inbox.visitor({ brand: 'birch', person: visitor.person, sid: visitor.sid });
  equal(inbox.operators.birch.asked(visitor.sid), 1);
  // The same sid, accepted by both, is still two people.
  await inbox.notify(visitor, { title: 'of acorn' });
  for (const token of [stranger.sid, stranger.token]) deepEqual((await stranger.listAnswer({ token })).Data, []);
  deepEqual((await visitor.listAnswer({ token: visitor.sid })).Data.length, 1);
});

test("another brand's key sends nothing", async () => {
  const person = newPerson();
  const theirs = new Sender(server, brands.birch.apiKey);
  equal((await theirs.single(activity({ person, title: 'forged' }))).status, 403);
  const batch = await theirs.sendBatch([activity({ person, title: 'forged' })]);
  deepEqual([batch.successful, batch.failed.length, batch.fatal], [[], 1, []]);
  const post = (path) => theirs.post(path, JSON.stringify(activity({ person, title: 'forged' })));
  equal((await post('/b/acorn/channels/site/single')).status, 403);
  deepEqual(await (await inbox.visitor({ person })).list(), []);
  deepEqual(await (await inbox.visitor({ brand: 'birch', person })).list(), []);
});

test("a login token, a sid and an app's secret are no api keys", async () => {
  const visitor = await inbox.visitor();
  for (const key of [visitor.token, visitor.sid, 'secret-of-main']) {
    equal((await new Sender(server, key).single(activity({ person: visitor.person, title: 'forged' }))).status, 401);
  }
  deepEqual(await visitor.list(), []);
});
