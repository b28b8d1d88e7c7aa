// Our own API: one inbox behind every outlet, and what operators may do.

import { deepEqual, equal, match, notEqual, ok } from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { Inbox, newPerson } from '../host/inbox.js';
import { Admin, Page } from '../host/own-api.js';
import { brands, SHOP } from '../host/brands.js';
import { apps } from '../host/apps.js';
import { isNews } from '../host/fusion.js';
import { until } from '../shared/recorder.js';

const inbox = await Inbox.open();
const { server } = inbox;
after(() => inbox.close());
const admin = await Admin.open(server);

const counts = (unread, unseen, total) => ({ unread, unseen, total });
const told = ({ unread, unseen, total }) => ({ Unread: unread, Unseen: unseen, Total: total });
const status = async (asked) => (await asked).status;

/** A visitor with these notifications, oldest first, and what their pages of our API see and hear. */
async function visit(...titles) {
  const visitor = await inbox.visitor();
  const ids = [];
  for (const title of titles) ids.push((await inbox.notified(visitor, { title })).MessageId);
  return { visitor, page: new Page(visitor), ids };
}

/** What both devices hear of one change. */
async function heard({ visitor }) {
  const devices = [await visitor.listen(), await (await inbox.device(visitor)).listen()];
  return async (event, data, after) => {
    for (const events of devices) {
      deepEqual(await events.next(), { event, data });
      deepEqual(await events.next(), { event: 'tidings:counts', data: told(after) });
    }
  };
}

describe('a change through our API shows in every outlet and on every device', () => {
  const updated = (MessageIds, Set) => ({ MessageIds, All: false, Set });

  test('read, and unread again', async () => {
    const it = await visit('a', 'b');
    const hears = await heard(it);
    deepEqual(await it.page.askWell('POST', `/notifications/${it.ids[0]}/read`), counts(1, 1, 2));
    await hears('tidings:updated', updated([it.ids[0]], 'read'), counts(1, 1, 2));
    deepEqual((await it.visitor.list()).map(({ IsRead }) => IsRead), [false, true]);
    deepEqual(await it.page.titles('unread=true'), ['b']);
    deepEqual(await it.page.titles('unread=false'), ['a']);
    deepEqual(await it.page.askWell('POST', `/notifications/${it.ids[0]}/unread`), counts(2, 1, 2));
    await hears('tidings:updated', updated([it.ids[0]], 'unread'), counts(2, 1, 2));
    deepEqual((await it.visitor.list('unread-only=true')).map(({ Title }) => Title), ['b', 'a']);
  });

  test('seen', async () => {
    const it = await visit('a');
    const hears = await heard(it);
    deepEqual(await it.page.askWell('POST', `/notifications/${it.ids[0]}/seen`), counts(1, 0, 1));
    await hears('tidings:updated', updated(it.ids, 'seen'), counts(1, 0, 1));
    const shown = await it.page.askWell('GET', `/notifications/${it.ids[0]}`);
    ok(shown.seen_at !== null && shown.read_at === null);
  });

  test('archived and taken back', async () => {
    const it = await visit('a', 'b');
    const hears = await heard(it);
    deepEqual(await it.page.askWell('POST', `/notifications/${it.ids[0]}/archive`), counts(1, 1, 1));
    await hears('tidings:updated', updated([it.ids[0]], 'archived'), counts(1, 1, 1));
    deepEqual([await it.visitor.titles(), await it.page.titles(), await it.page.titles('archived=true')], [['b'], ['b'], ['a']]);
    deepEqual(await it.page.askWell('POST', `/notifications/${it.ids[0]}/unarchive`), counts(2, 2, 2));
    await hears('tidings:updated', updated([it.ids[0]], 'unarchived'), counts(2, 2, 2));
    deepEqual(await it.visitor.titles(), ['b', 'a']);
  });

  test('deleted, for good', async () => {
    const it = await visit('a', 'b');
    const hears = await heard(it);
    deepEqual(await it.page.askWell('DELETE', `/notifications/${it.ids[1]}`), counts(1, 1, 1));
    await hears('tidings:deleted', { MessageIds: [it.ids[1]] }, counts(1, 1, 1));
    deepEqual([await it.visitor.titles(), await it.page.titles()], [['a'], ['a']]);
    equal((await it.visitor.one(it.ids[1])).Success, false);
    equal(await status(it.page.ask('DELETE', `/notifications/${it.ids[1]}`)), 404);
  });

  test('a mark and a deletion by the CRM page show here', async () => {
    const it = await visit('a', 'b');
    await it.visitor.mark(it.ids[0]);
    deepEqual(await it.page.counts(), counts(1, 1, 2));
    ok((await it.page.askWell('GET', `/notifications/${it.ids[0]}`)).read_at);
    await it.visitor.remove(it.ids[0]);
    deepEqual([await it.page.titles(), await it.page.counts()], [['b'], counts(1, 1, 1)]);
    equal(await status(it.page.ask('GET', `/notifications/${it.ids[0]}`)), 404);
  });

  test('all at once', async () => {
    const it = await visit('a', 'b');
    const hears = await heard(it);
    deepEqual(await it.page.askWell('POST', '/notifications/all', { set: 'read' }), counts(0, 0, 2));
    await hears('tidings:updated', { MessageIds: [], All: true, Set: 'read' }, counts(0, 0, 2));
    deepEqual((await it.visitor.list()).map(({ IsRead }) => IsRead), [true, true]);
  });
});

describe('all that fit', () => {
  const visitWithCategories = async () => {
    const visitor = await inbox.visitor();
    for (const [title, category, tags] of [['a', 'x', ['p']], ['b', 'y', ['p', 'q']], ['c', 'x', []]]) {
      await inbox.notify(visitor, { title, category, tags });
    }
    return { page: new Page(visitor), ids: (await visitor.list()).map(({ MessageId }) => MessageId).reverse() };
  };
  const all = (page, body) => page.askWell('POST', '/notifications/all', body);

  test('by category, by tag, by what is older', async () => {
    const { page, ids } = await visitWithCategories();
    await all(page, { set: 'read', category: 'y' });
    deepEqual(await page.titles('unread=false'), ['b']);
    await all(page, { set: 'archived', tag: 'p', unread: true });
    deepEqual(await page.titles('archived=true'), ['a']);
    await all(page, { set: 'deleted', before: ids[2] });
    deepEqual([await page.titles(), await page.titles('archived=true')], [['c'], ['a']]);
    deepEqual(await all(page, { set: 'unarchived' }), counts(2, 2, 2));
    deepEqual(await page.titles('category=x'), ['c', 'a']);
    deepEqual(await page.titles('tag=p'), ['a']);
  });

  test('what is spelt or typed otherwise changes nothing', async () => {
    const { page } = await visitWithCategories();
    for (const [body, expected] of [
      ['{', 400],
      ['[]', 422],
      [{}, 422],
      [{ set: 'gone' }, 422],
      [{ set: 'read', Category: 'x' }, 422],
      [{ set: 'read', before: 'x' }, 422],
      [{ set: 'read', before: 0 }, 422],
      [{ set: 'read', tag: '"' }, 422],
    ]) {
      equal(await status(page.ask('POST', '/notifications/all', body)), expected, JSON.stringify(body));
    }
    for (const query of ['unraed=true', 'unread=1', 'limit=0', 'limit=101', 'tag=', 'limit=5&limit=5']) {
      equal(await status(page.ask('GET', `/notifications?${query}`)), 400, query);
    }
    equal(await status(page.ask('GET', '/notifications?cursor=x')), 422);
    deepEqual(await page.counts(), counts(3, 3, 3));
  });
});

test('a notification has every field, under the names by which it is sent', async () => {
  const visitor = await inbox.visitor();
  const content = {
    event: 'shoutout',
    display_type: 'silent',
    title: 'T',
    message: '<b>M</b>',
    preview_text: 'P',
    footer_text: 'F',
    data: { a: [1] },
    cta_button_link: '/x',
    cta_button_text: 'X',
    cta_button2_link: 'tel:1',
    cta_button2_text: 'Y',
    image_url: 'https://shop.example/p.png',
    category: 'c',
    tags: ['s', 't'],
    expires_at: '2099-01-02T03:04:05Z',
  };
  const [{ id, status }] = await admin.send([visitor.person], content);
  equal(status, 'created');
  const page = new Page(visitor);
  const shown = await page.askWell('GET', `/notifications/${id}`);
  const { created_at, ...rest } = shown;
  match(created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  deepEqual(rest, { ...content, id, user_id: visitor.userId, seen_at: null, read_at: null, archived_at: null });
  deepEqual((await page.list()).notifications, [shown]);
});

test('pages follow each other without doubles or gaps while notifications come and go', async () => {
  const titles = Array.from({ length: 7 }, (_, n) => `t ${n}`);
  const { visitor, page, ids } = await visit(...titles);
  const seen = [];
  let cursor = '';
  do {
    const part = await page.list(`limit=2${cursor}`);
    seen.push(...part.notifications.map(({ title }) => title));
    cursor = part.next_cursor && `&cursor=${part.next_cursor}`;
    await inbox.notify(visitor, { title: 'newer' });
    // Also when the one that the cursor was made of is gone.
    if (seen.length === 4) await visitor.remove(ids[3]);
  } while (cursor);
  deepEqual(seen, titles.toReversed());
});

describe("somebody else's", () => {
  test('notification is not there, and stays as it is', async () => {
    const { page, ids, visitor } = await visit('private');
    const others = [await inbox.visitor(), await inbox.visitor({ brand: 'birch', person: visitor.person })];
    const before = await page.list();
    for (const other of others.map((other) => new Page(other))) {
      equal(await status(other.ask('GET', `/notifications/${ids[0]}`)), 404);
      equal(await status(other.ask('DELETE', `/notifications/${ids[0]}`)), 404);
      for (const verb of ['seen', 'read', 'unread', 'archive', 'unarchive']) {
        equal(await status(other.ask('POST', `/notifications/${ids[0]}/${verb}`)), 404, verb);
      }
      await other.askWell('POST', '/notifications/all', { set: 'deleted' });
    }
    deepEqual(await page.list(), before);
  });

  test('brand does not take the token, and its own does', async () => {
    const { visitor } = await visit('a');
    equal(await status(new Page(visitor, { mount: '/b/birch' }).ask('GET', '/counts')), 401);
    equal(await status(new Page(visitor, { mount: '/b/acorn' }).ask('GET', '/counts')), 200);
    equal(await status(new Page(visitor, { mount: '/b/nobody' }).ask('GET', '/counts')), 404);
  });

  test('login is needed', async () => {
    const { visitor, page, ids } = await visit('a');
    for (const token of [undefined, 'x', '']) {
      const stranger = new Page(visitor, token === undefined ? {} : { token });
      if (token === undefined) stranger.headers = {};
      for (const [method, path] of [
        ['GET', '/notifications'],
        ['GET', '/counts'],
        ['DELETE', `/notifications/${ids[0]}`],
        ['POST', `/notifications/${ids[0]}/read`],
        ['POST', '/notifications/all'],
      ]) {
        const answer = await stranger.ask(method, path, method === 'POST' ? { set: 'read' } : undefined);
        equal(answer.status, 401, `${method} ${path}`);
        equal(answer.headers.get('www-authenticate'), 'Bearer');
      }
    }
    deepEqual(await page.counts(), counts(1, 1, 1));
  });

  test('key opens nothing of another brand', async () => {
    const { visitor, page } = await visit('a');
    const birch = Admin.of(server, 'birch');
    const reaching = Admin.of(server, 'birch', { mount: '/b/acorn' });
    for (const [method, path, body] of [
      ['GET', '/users'],
      ['GET', `/users/${visitor.person}/notifications`],
      ['DELETE', `/users/${visitor.person}`],
      ['POST', '/notifications', { users: [visitor.person], content: { title: 'x' } }],
      ['POST', '/broadcasts', { audience: 'all', content: { title: 'x' } }],
      ['PUT', '/templates/default', { title: 'x' }],
    ]) {
      equal(await status(reaching.ask(method, path, body)), 403, `${method} ${path}`);
    }
    // Without the prefix it is its own brand, where this person is nobody.
    equal(await status(birch.ask('GET', `/users/${visitor.person}`)), 404);
    equal(await status(birch.ask('DELETE', `/users/${visitor.person}`)), 404);
    equal(await status(birch.ask('GET', `/brands/${brands.acorn.id}`)), 404);
    equal(await status(birch.ask('GET', `/brands/${brands.birch.id}`)), 200);
    deepEqual(
      (await birch.askWell('GET', '/brands')).brands.map(({ name }) => name),
      ['birch'],
    );
    for (const [method, path, body] of [
      ['POST', '/brands', { id: 99, name: 'mine', app_id: apps.main.id }],
      ['PUT', `/brands/${brands.birch.id}`, { name: 'mine', app_id: apps.main.id }],
      ['POST', '/keys', { scope: 'installation' }],
      ['DELETE', '/keys/0000000000000000'],
    ]) {
      equal(await status(birch.ask(method, path, body)), 403, `${method} ${path}`);
    }
    deepEqual([await page.titles(), await page.counts()], [['a'], counts(1, 1, 1)]);
  });

  test('a page token is no key, and a key is no page token', async () => {
    const { visitor } = await visit('a');
    equal(await status(new Admin(server, visitor.token).ask('GET', '/users')), 401);
    equal(await status(new Admin(server, undefined).ask('GET', '/users')), 401);
    equal(await status(new Page(visitor, { token: brands.acorn.apiKey }).ask('GET', '/counts')), 401);
  });
});

describe('pages of other origins', () => {
  const ask = (method, path, origin, mount = '') =>
    fetch(`${server.url}${mount}${path}`, { method, headers: { Origin: origin } });

  test('may ask, also when they are refused', async () => {
    const preflight = await ask('OPTIONS', '/inbox/v1/notifications/1/read', 'https://any.example');
    equal(preflight.status, 204);
    equal(preflight.headers.get('access-control-allow-origin'), '*');
    match(preflight.headers.get('access-control-allow-headers'), /authorization/);
    const refused = await ask('GET', '/inbox/v1/counts', 'https://any.example');
    equal(refused.status, 401);
    equal(refused.headers.get('access-control-allow-origin'), '*');
    const named = await ask('GET', '/inbox/v1/counts', SHOP, '/b/birch');
    equal(named.headers.get('access-control-allow-origin'), SHOP);
  });

  test('may not ask as operators', async () => {
    for (const method of ['OPTIONS', 'GET']) {
      const answer = await ask(method, '/inbox-admin/v1/users', 'https://any.example');
      equal(answer.status, 401);
      equal(answer.headers.get('access-control-allow-origin'), null);
    }
  });
});

test('a method that is none is told which there are', async () => {
  const { page } = await visit();
  for (const [asker, method, path, allow] of [
    [page, 'PUT', '/notifications/5', 'GET, DELETE'],
    [page, 'GET', '/notifications/all', 'POST'],
    [page, 'POST', '/counts', 'GET'],
    [admin, 'DELETE', '/brands', 'GET, POST'],
    [admin, 'PATCH', '/users/x', 'GET, PUT, DELETE'],
  ]) {
    const answer = await asker.ask(method, path);
    deepEqual([answer.status, answer.headers.get('allow')], [405, allow], `${method} ${path}`);
  }
  equal(await status(page.ask('GET', '/nothing')), 404);
  equal(await status(admin.ask('GET', '/nothing')), 404);
  equal(await status(page.ask('POST', '/notifications/all', `"${'x'.repeat(2 ** 20)}"`)), 413);
});

describe('sending', () => {
  test('to many, each in their language and by their name', async () => {
    const [ann, bob] = [await inbox.visitor(), await inbox.visitor()];
    await admin.askWell('PUT', `/users/${ann.person}`, { first_name: 'Ann', locale: 'de-AT' });
    await admin.askWell('PUT', `/users/${bob.person}`, { first_name: 'Bob <b>' });
    const events = await ann.listen();
    const body = {
      default: 'en',
      languages: { en: { title: 'Hi {{user.first_name}}', message: '{{user.first_name}}, {{n}}' }, de: { title: 'Servus' } },
    };
    await admin.askWell('PUT', '/templates/name:hello', body);
    deepEqual((await admin.askWell('GET', '/templates/name:hello')).body, body);
    const preview = await admin.askWell('POST', '/templates/name:hello/preview', { user: bob.person, values: { n: 5 } });
    equal(preview.message, 'Bob &lt;b&gt;, 5');
    const { results } = await admin.askWell('POST', '/notifications', {
      users: [ann.person, bob.person, ann.person],
      template: 'name:hello',
      values: { n: 5 },
    });
    deepEqual(
      results.map(({ user, status }) => [user, status]),
      [[ann.person, 'created'], [bob.person, 'created']],
    );
    equal((await events.nextWhere(isNews)).data.Title, 'Servus');
    deepEqual(await ann.titles(), ['Servus']);
    deepEqual((await bob.list()).map(({ Title, Message }) => [Title, Message]), [['Hi Bob <b>', 'Bob &lt;b&gt;, 5']]);
    await admin.askWell('DELETE', '/templates/name:hello');
    equal(await status(admin.ask('POST', '/notifications', { users: ['x'], template: 'name:hello' })), 422);
  });

  test('what one user cannot be sent holds back nobody else', async () => {
    const [good, bad] = [newPerson(), newPerson()];
    await admin.askWell('PUT', `/users/${bad}`, { first_name: 'javascript:alert(1)' });
    await admin.askWell('PUT', `/users/${good}`, { first_name: '/ok' });
    const results = await admin.send([bad, good], { title: 'x', cta_button_link: '{{user.first_name}}' });
    deepEqual(results.map(({ status }) => status), ['refused', 'created']);
    match(results[0].detail, /cta_button_link/);
    equal((await admin.askWell('GET', `/users/${good}/notifications`)).notifications.length, 1);
    deepEqual(await admin.askWell('GET', `/users/${bad}/counts`), counts(0, 0, 0));
  });

  test('the same Idempotency-Key again: the same ids, and nothing new; racing too', async () => {
    const visitor = await inbox.visitor();
    const another = newPerson();
    const headers = { 'Idempotency-Key': newPerson() };
    const send = (users) => admin.send(users, { title: 'once' }, headers);
    const answers = await Promise.all(Array.from({ length: 8 }, () => send([visitor.person])));
    equal(new Set(answers.map(([{ id }]) => id)).size, 1);
    deepEqual(answers.map(([{ status }]) => status).sort(), ['created', ...Array(7).fill('repeated')]);
    deepEqual((await send([visitor.person, another])).map(({ status }) => status), ['repeated', 'created']);
    deepEqual(await visitor.titles(), ['once']);
    await admin.send([visitor.person], { title: 'once' }, { 'Idempotency-Key': newPerson() });
    deepEqual(await visitor.titles(), ['once', 'once']);
    equal(await status(admin.ask('POST', '/notifications', { users: ['x'], content: { title: 'x' } }, { 'Idempotency-Key': 'x'.repeat(256) })), 400);
  });

  test('what cannot be sent is refused, and says why', async () => {
    const content = { title: 'x' };
    for (const [body, detail] of [
      [{ users: ['u'], content, contents: {} }, /contents/],
      [{ users: ['u'], content: { titel: 'x' } }, /titel/],
      [{ users: ['u'], content: { title: 'x'.repeat(256) } }, /255/],
      [{ users: ['u'], content: { title: 'x', data: { a: 'x'.repeat(16_384) } } }, /16384/],
      [{ users: ['u'], content: { title: 'x', message: 'x'.repeat(65_537) } }, /65536/],
      [{ users: ['u'], content: { title: 'x', cta_button_link: 'javascript:alert(1)' } }, /cta_button_link/],
      [{ users: ['u'], content: {} }, /no content/],
      [{ users: ['u'] }, /content or template/],
      [{ users: ['u'], content, template: 'default' }, /content or template/],
      [{ users: [], content }, /users/],
      [{ users: ['u', ''], content }, /users\[1\]/],
      [{ users: Array.from({ length: 1001 }, (_, n) => `${n}`), content }, /1000/],
      [{ users: ['u'], content: { ...content, expires_at: '2020-01-01T00:00:00Z' } }, /expire/],
      [{ users: ['u'], content, deliver_at: 'soon' }, /deliver_at/],
    ]) {
      const answer = await admin.ask('POST', '/notifications', body);
      equal(answer.status, 422, JSON.stringify(body).slice(0, 200));
      match(answer.body.detail, detail);
    }
    equal(await status(admin.ask('GET', '/users/u')), 404);
  });
});

describe('at a time', () => {
  const soon = () => new Date(Date.now() + 2_000).toISOString();

  test('a scheduled notification arrives then, not before, and once', async () => {
    const visitor = await inbox.visitor();
    const events = await visitor.listen();
    const deliver_at = soon();
    const body = { users: [visitor.person], content: { title: 'later' }, deliver_at };
    const headers = { 'Idempotency-Key': newPerson() };
    const first = await admin.ask('POST', '/notifications', body, headers);
    equal(first.status, 202);
    equal(first.body.state, 'scheduled');
    deepEqual(await visitor.titles(), []);
    const repeated = await admin.ask('POST', '/notifications', body, headers);
    equal(repeated.body.id, first.body.id);
    equal((await events.nextWhere(isNews)).data.Title, 'later');
    ok(Date.now() >= Date.parse(deliver_at) - 1, 'it came too early');
    const done = await admin.broadcastDone(first.body.id);
    deepEqual([done.sent, done.audience], [1, 'listed']);
    // The time has come: that is no reason to send it again.
    equal((await admin.ask('POST', '/notifications', body, headers)).body.id, first.body.id);
    await admin.send([visitor.person], { title: 'marker' });
    equal((await events.nextWhere(isNews)).data.Title, 'marker');
    deepEqual(await visitor.titles(), ['marker', 'later']);
  });

  test('a broadcast that was cancelled is not sent', async () => {
    const visitor = await inbox.visitor();
    const events = await visitor.listen();
    const to = (title, deliver_at) => ({ audience: { users: [visitor.person] }, content: { title }, deliver_at });
    const cancelled = await admin.askWell('POST', '/broadcasts', to('cancelled', soon()));
    equal((await admin.askWell('POST', `/broadcasts/${cancelled.id}/cancel`)).state, 'cancelled');
    equal((await admin.askWell('POST', `/broadcasts/${cancelled.id}/cancel`)).state, 'cancelled');
    // Due after it, so that it would have come before.
    const { id } = await admin.askWell('POST', '/broadcasts', to('kept', new Date(Date.parse(cancelled.deliver_at) + 1_000).toISOString()));
    equal((await events.nextWhere(isNews)).data.Title, 'kept');
    deepEqual(await visitor.titles(), ['kept']);
    await admin.broadcastDone(id);
    equal(await status(admin.ask('POST', `/broadcasts/${id}/cancel`)), 409);
  });
});

describe('a broadcast', () => {
  const titlesOf = async (user) =>
    (await admin.askWell('GET', `/users/${user}/notifications`)).notifications.map(({ title }) => title);

  test('reaches more users than a chunk has, each exactly once, with repeated calls', async () => {
    const users = Array.from({ length: 620 }, () => newPerson());
    const visitor = await inbox.visitor();
    const events = await visitor.listen();
    const headers = { 'Idempotency-Key': newPerson() };
    const body = { audience: { users: [...users, visitor.person, users[0]] }, content: { title: 'To {{user.external_id}}' } };
    const answers = await Promise.all([1, 2, 3].map(() => admin.ask('POST', '/broadcasts', body, headers)));
    deepEqual(answers.map(({ status }) => status), [202, 202, 202]);
    equal(new Set(answers.map(({ body }) => body.id)).size, 1);
    const done = await admin.broadcastDone(answers[0].body.id);
    equal(done.sent, 621);
    for (const user of users) deepEqual(await titlesOf(user), [`To ${user}`]);
    equal((await events.nextWhere(isNews)).data.Title, `To ${visitor.person}`);
    await admin.send([visitor.person], { title: 'marker' });
    equal((await events.nextWhere(isNews)).data.Title, 'marker');
  });

  test('to a tag reaches those who have it, and no other brand', async () => {
    const [vip, other] = [newPerson(), newPerson()];
    await admin.askWell('PUT', `/users/${vip}`, { tags: ['vip', 'x'] });
    await admin.askWell('PUT', `/users/${other}`, { tags: ['x'] });
    const birch = Admin.of(server, 'birch');
    await birch.askWell('PUT', `/users/${vip}`, { tags: ['vip'] });
    const { id } = await admin.askWell('POST', '/broadcasts', { audience: { tag: 'vip' }, content: { title: 'v' } });
    equal((await admin.broadcastDone(id)).sent, 1);
    deepEqual([await titlesOf(vip), await titlesOf(other)], [['v'], []]);
    deepEqual(await birch.askWell('GET', `/users/${vip}/counts`), counts(0, 0, 0));
    equal(await status(birch.ask('GET', `/broadcasts/${id}`)), 404);
    equal(await status(birch.ask('POST', `/broadcasts/${id}/cancel`)), 404);
  });

  test('to all reaches all of the brand, page by page of them', async () => {
    const birch = Admin.of(server, 'birch');
    const { id } = await birch.askWell('POST', '/broadcasts', { audience: 'all', content: { title: 'everybody' } });
    const { sent } = await birch.broadcastDone(id);
    const users = [];
    let cursor = '';
    do {
      const part = await birch.askWell('GET', `/users?limit=3${cursor}`);
      users.push(...part.users.map(({ external_id }) => external_id));
      cursor = part.next_cursor && `&cursor=${part.next_cursor}`;
    } while (cursor);
    ok(sent > 0 && new Set(users).size === users.length);
    equal(sent, users.length);
    for (const user of users) {
      const { notifications } = await birch.askWell('GET', `/users/${user}/notifications`);
      equal(notifications.filter(({ title }) => title === 'everybody').length, 1);
    }
    const { broadcasts } = await birch.askWell('GET', '/broadcasts?limit=1');
    equal(broadcasts[0].id, id);
  });
});

describe('users', () => {
  test('are known by what the operator calls them, whatever that is', async () => {
    const person = `ä/ü ${newPerson()}?%41`;
    const path = `/users/${encodeURIComponent(person)}`;
    const sent = { first_name: 'Ä', last_name: 'B', email: 'a@b.example', phone: '+1', locale: 'de', tags: ['a', 'b'] };
    const made = await admin.askWell('PUT', path, sent);
    const { id, created_at, ...rest } = made;
    deepEqual(rest, { ...sent, external_id: person, is_test: false });
    deepEqual(await admin.askWell('GET', path), made);
    equal((await admin.askWell('PUT', path, {})).first_name, '');
    equal(await status(admin.ask('PUT', path, { firstname: 'x' })), 422);
    equal(await status(admin.ask('PUT', path, { tags: ['a,b'] })), 422);
    equal(await status(admin.ask('DELETE', path)), 204);
    equal(await status(admin.ask('DELETE', path)), 404);
    equal(await status(admin.ask('GET', path)), 404);
  });

  test('who are forgotten are logged out, and nothing of theirs is left', async () => {
    const { visitor, page } = await visit('a');
    equal(await status(admin.ask('DELETE', `/users/${visitor.person}`)), 204);
    equal(await status(page.ask('GET', '/counts')), 401);
    const again = await inbox.device(visitor);
    notEqual(again.userId, visitor.userId);
    deepEqual(await again.titles(), []);
  });
});

describe('brands and keys', () => {
  test('that are made are in operation at once, and after a restart', async () => {
    const name = 'cedar';
    const sent = { id: 42, name, app_id: apps.main.id, region: 'eu', sid_url: null, test_sid: true, allowed_origins: [SHOP] };
    const made = await admin.ask('POST', '/brands', sent);
    equal(made.status, 201);
    deepEqual(made.body, { ...sent, configured: false });
    equal(made.headers.get('location'), '/inbox-admin/v1/brands/42');
    const of = (key) => new Admin(server, key, { mount: `/b/${name}` });
    const key = (await of(admin.headers['x-api-key']).askWell('POST', '/keys', { scope: 'brand' })).key;
    equal((await of(key).send(['test'], { title: 'hello' }))[0].status, 'created');
    const config = async () => status(fetch(`${server.url}/api/v1/config/${name}`));
    equal(await config(), 200);
    await server.quit();
    await server.restart();
    equal(await config(), 200);
    equal((await of(key).send(['test'], { title: 'again' }))[0].status, 'created');
    const changed = await admin.askWell('PUT', '/brands/42', { ...sent, region: 'us2' });
    equal(changed.region, 'us2');
    equal((await (await fetch(`${server.url}/api/v1/config/${name}`)).json()).pusherRegion, 'us2');
  });

  test('a key that is deleted opens nothing from then on', async () => {
    const { key, id, hint } = await admin.askWell('POST', '/keys', { scope: 'installation' });
    const holder = new Admin(server, key);
    equal(await status(holder.ask('GET', '/users')), 200);
    const { keys } = await holder.askWell('GET', '/keys');
    const listed = keys.find((listed) => listed.id === id);
    deepEqual([listed.hint, listed.key, key.startsWith(hint)], [hint, undefined, true]);
    equal(await status(holder.ask('DELETE', `/keys/${id}`)), 409);
    equal(await status(admin.ask('DELETE', `/keys/${id}`)), 204);
    equal(await status(holder.ask('GET', '/users')), 401);
    equal(await status(admin.ask('DELETE', `/keys/${id}`)), 404);
  });

  test('of the configuration, or that clash, cannot be changed or made', async () => {
    const brand = { name: 'new', app_id: apps.main.id };
    for (const [method, path, body, expected, detail] of [
      ['PUT', `/brands/${brands.acorn.id}`, brand, 409, /configuration file/],
      ['POST', '/brands', { ...brand, id: brands.acorn.id }, 409, /configuration file/],
      ['POST', '/brands', { ...brand, id: 77, name: 'birch' }, 409, /birch/],
      ['POST', '/brands', { ...brand, id: 77, app_id: 'none' }, 422, /none/],
      ['POST', '/brands', { ...brand, id: 0 }, 422, /id/],
      ['POST', '/brands', { ...brand, id: 77, name: 'New' }, 422, /name/],
      ['POST', '/brands', { ...brand, id: 77, sid_url: 'ftp://x' }, 422, /sid_url/],
      ['POST', '/brands', { ...brand, id: 77, allowed_origins: ['a b'] }, 422, /allowed_origins/],
      ['POST', '/brands', { ...brand, id: 77, colour: 1 }, 422, /colour/],
      ['PUT', '/brands/78', brand, 404, /brand/],
    ]) {
      const answer = await admin.ask(method, path, body);
      equal(answer.status, expected, `${method} ${path} ${JSON.stringify(body)}`);
      match(answer.body.detail, detail);
    }
    equal(await status(admin.ask('GET', '/brands/77')), 404);
    equal((await admin.askWell('GET', `/brands/${brands.acorn.id}`)).configured, true);
  });
});
