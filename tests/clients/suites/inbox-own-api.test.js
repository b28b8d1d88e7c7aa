// Our own API for pages: one inbox behind every outlet, and nobody else's.

import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { Inbox } from '../host/inbox.js';
import { Admin, Page } from '../host/own-api.js';
import { brands, SHOP } from '../host/brands.js';
import { apps } from '../host/apps.js';

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
    deepEqual(
      (await it.visitor.list()).map(({ IsRead }) => IsRead),
      [false, true],
    );
    deepEqual(await it.page.titles('unread=true'), ['b']);
    deepEqual(await it.page.titles('unread=false'), ['a']);
    deepEqual(await it.page.askWell('POST', `/notifications/${it.ids[0]}/unread`), counts(2, 1, 2));
    await hears('tidings:updated', updated([it.ids[0]], 'unread'), counts(2, 1, 2));
    deepEqual(
      (await it.visitor.list('unread-only=true')).map(({ Title }) => Title),
      ['b', 'a'],
    );
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
    deepEqual(
      [await it.visitor.titles(), await it.page.titles(), await it.page.titles('archived=true')],
      [['b'], ['b'], ['a']],
    );
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
    deepEqual(
      (await it.visitor.list()).map(({ IsRead }) => IsRead),
      [true, true],
    );
  });
});

describe('all that fit', () => {
  const visitWithCategories = async () => {
    const visitor = await inbox.visitor();
    for (const [title, category, tags] of [
      ['a', 'x', ['p']],
      ['b', 'y', ['p', 'q']],
      ['c', 'x', []],
    ]) {
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
    for (const token of [null, 'x', '']) {
      const stranger = new Page(visitor, { token });
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
    equal(await status(new Admin(server, null).ask('GET', '/users')), 401);
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
