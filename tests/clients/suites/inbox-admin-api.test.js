// Our own API for operators: sending, broadcasts, users, brands and keys.

import { deepEqual, equal, match, notEqual, ok } from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { apps } from '../host/apps.js';
import { brands, SHOP } from '../host/brands.js';
import { isNews } from '../host/fusion.js';
import { Inbox, newPerson } from '../host/inbox.js';
import { Admin, Page } from '../host/own-api.js';
import { Storage } from '../host/storage.js';
import { until } from '../shared/recorder.js';

const inbox = await Inbox.open();
const { server } = inbox;
after(() => inbox.close());
const admin = await Admin.open(server);

const counts = (unread, unseen, total) => ({ unread, unseen, total });
const status = async (asked) => (await asked).status;

describe('sending', () => {
  test('to many, each in their language and by their name', async () => {
    const [ann, bob] = [await inbox.visitor(), await inbox.visitor()];
    await admin.askWell('PUT', `/users/${ann.person}`, { first_name: 'Ann', locale: 'de-AT' });
    await admin.askWell('PUT', `/users/${bob.person}`, { first_name: 'Bob <b>' });
    const events = await ann.listen();
    const body = {
      default: 'en',
      languages: {
        en: { title: 'Hi {{user.first_name}}', message: '{{user.first_name}}, {{n}}' },
        de: { title: 'Servus' },
      },
    };
    await admin.askWell('PUT', '/templates/name:hello', body);
    deepEqual((await admin.askWell('GET', '/templates/name:hello')).body, body);
    const preview = await admin.askWell('POST', '/templates/name:hello/preview', {
      user: bob.person,
      values: { n: 5 },
    });
    equal(preview.message, 'Bob &lt;b&gt;, 5');
    const { results } = await admin.askWell('POST', '/notifications', {
      users: [ann.person, bob.person, ann.person],
      template: 'name:hello',
      values: { n: 5 },
    });
    deepEqual(
      results.map(({ user, status }) => [user, status]),
      [
        [ann.person, 'created'],
        [bob.person, 'created'],
      ],
    );
    equal((await events.nextWhere(isNews)).data.Title, 'Servus');
    deepEqual(await ann.titles(), ['Servus']);
    deepEqual(
      (await bob.list()).map(({ Title, Message }) => [Title, Message]),
      [['Hi Bob <b>', 'Bob &lt;b&gt;, 5']],
    );
    await admin.askWell('DELETE', '/templates/name:hello');
    equal(await status(admin.ask('POST', '/notifications', { users: ['x'], template: 'name:hello' })), 422);
  });

  test('what one user cannot be sent holds back nobody else', async () => {
    const [good, bad] = [newPerson(), newPerson()];
    await admin.askWell('PUT', `/users/${bad}`, { first_name: 'javascript:alert(1)' });
    await admin.askWell('PUT', `/users/${good}`, { first_name: '/ok' });
    const results = await admin.send([bad, good], { title: 'x', cta_button_link: '{{user.first_name}}' });
    deepEqual(
      results.map(({ status }) => status),
      ['refused', 'created'],
    );
    match(results[0].detail, /cta_button_link/);
    equal((await admin.askWell('GET', `/users/${good}/notifications`)).notifications.length, 1);
    deepEqual(await admin.askWell('GET', `/users/${bad}/counts`), counts(0, 0, 0));
  });

  test('what the store does not take is told, and is sent once when it is sent again', async () => {
    const [whole, part] = [newPerson(), newPerson()];
    const headers = { 'Idempotency-Key': newPerson() };
    const body = { users: [whole, part], content: { title: 'to {{user.external_id}}' } };
    const storage = new Storage(server);
    const partly = await storage.whileRefusing(`to ${part}`, () => admin.ask('POST', '/notifications', body, headers));
    equal(partly.status, 200);
    deepEqual(
      partly.body.results.map(({ status }) => status),
      ['created', 'failed'],
    );
    const alone = { ...body, users: [part] };
    const none = await storage.whileRefusing(`to ${part}`, () => admin.ask('POST', '/notifications', alone, headers));
    equal(none.status, 500);
    const again = await admin.askWell('POST', '/notifications', body, headers);
    deepEqual(
      again.results.map(({ status }) => status),
      ['repeated', 'created'],
    );
    deepEqual(await admin.askWell('GET', `/users/${whole}/counts`), counts(1, 1, 1));
  });

  test('the same Idempotency-Key again: the same ids, and nothing new; racing too', async () => {
    const visitor = await inbox.visitor();
    const another = newPerson();
    const headers = { 'Idempotency-Key': newPerson() };
    const send = (users) => admin.send(users, { title: 'once' }, headers);
    const answers = await Promise.all(Array.from({ length: 8 }, () => send([visitor.person])));
    equal(new Set(answers.map(([{ id }]) => id)).size, 1);
    deepEqual(answers.map(([{ status }]) => status).sort(), ['created', ...Array(7).fill('repeated')]);
    deepEqual(
      (await send([visitor.person, another])).map(({ status }) => status),
      ['repeated', 'created'],
    );
    deepEqual(await visitor.titles(), ['once']);
    await admin.send([visitor.person], { title: 'once' }, { 'Idempotency-Key': newPerson() });
    deepEqual(await visitor.titles(), ['once', 'once']);
    equal(
      await status(
        admin.ask(
          'POST',
          '/notifications',
          { users: ['x'], content: { title: 'x' } },
          { 'Idempotency-Key': 'x'.repeat(256) },
        ),
      ),
      400,
    );
  });

  test('a repeated call is answered as it was, though it could not be carried out any more', async () => {
    const visitor = await inbox.visitor();
    const another = newPerson();
    await admin.askWell('PUT', '/templates/name:gone', { title: 'gone' });
    const ends = { title: 'ends', expires_at: new Date(Date.now() + 2_000).toISOString() };
    const calls = [{ template: 'name:gone' }, { content: ends }].map((said) => ({
      said,
      headers: { 'Idempotency-Key': newPerson() },
    }));
    const notify = ({ said, headers }, users = [visitor.person]) =>
      admin.askWell('POST', '/notifications', { users, ...said }, headers);
    const broadcast = ({ said, headers }) =>
      admin.askWell('POST', '/broadcasts', { audience: { users: [another] }, ...said }, headers);
    const first = [];
    for (const call of calls) first.push([(await notify(call)).results[0].id, (await broadcast(call)).id]);
    await admin.ask('DELETE', '/templates/name:gone');
    await until('it to be over', async () => (await visitor.titles()).join() === 'gone');
    for (const [at, call] of calls.entries()) {
      const [one, newcomer] = (await notify(call, [visitor.person, newPerson()])).results;
      deepEqual([one.status, one.id], ['repeated', first[at][0]]);
      equal(newcomer.status, 'refused');
      equal((await broadcast(call)).id, first[at][1]);
    }
    equal(await status(admin.ask('POST', '/notifications', { users: ['u'], template: 'name:gone' })), 422);
  });

  test('an Idempotency-Key that was used for something else is refused', async () => {
    const users = [newPerson()];
    const said = { content: { title: 'one' } };
    const later = { deliver_at: '2099-01-01T00:00:00Z' };
    const others = [{ content: { title: 'other' } }, { ...said, values: { n: 1 } }];
    for (const [path, to, differing] of [
      ['/notifications', { users }, [...others, { ...said, ...later }]],
      ['/broadcasts', { audience: { users } }, [...others, { ...said, audience: 'all' }]],
    ]) {
      const ask = (body, headers) => admin.ask('POST', path, { ...to, ...body }, headers);
      const headers = { 'Idempotency-Key': newPerson() };
      equal(Math.floor((await ask(said, headers)).status / 100), 2);
      for (const other of differing) {
        const answer = await ask(other, headers);
        equal(answer.status, 422, JSON.stringify(other));
        match(answer.body.detail, /Idempotency-Key/);
      }
      equal(Math.floor((await ask(said, headers)).status / 100), 2);
      // What could not be carried out has not used the key.
      const unused = { 'Idempotency-Key': newPerson() };
      equal((await ask({ content: {} }, unused)).status, 422);
      equal(Math.floor((await ask(said, unused)).status / 100), 2);
    }
    const { notifications } = await admin.askWell('GET', `/users/${users[0]}/notifications`);
    deepEqual([...new Set(notifications.map(({ title }) => title))], ['one']);
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
    const { id } = await admin.askWell(
      'POST',
      '/broadcasts',
      to('kept', new Date(Date.parse(cancelled.deliver_at) + 1_000).toISOString()),
    );
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
    const body = {
      audience: { users: [...users, visitor.person, users[0]] },
      content: { title: 'To {{user.external_id}}' },
    };
    const answers = await Promise.all([1, 2, 3].map(() => admin.ask('POST', '/broadcasts', body, headers)));
    deepEqual(
      answers.map(({ status }) => status),
      [202, 202, 202],
    );
    equal(new Set(answers.map(({ body }) => body.id)).size, 1);
    const done = await admin.broadcastDone(answers[0].body.id);
    equal(done.sent, 621);
    for (const user of users) deepEqual(await titlesOf(user), [`To ${user}`]);
    equal((await events.nextWhere(isNews)).data.Title, `To ${visitor.person}`);
    await admin.send([visitor.person], { title: 'marker' });
    equal((await events.nextWhere(isNews)).data.Title, 'marker');
  });

  test('that a crash interrupts goes on where it was', async () => {
    const users = Array.from({ length: 10_000 }, () => newPerson());
    const title = newPerson();
    const { id } = await admin.askWell('POST', '/broadcasts', { audience: { users }, content: { title } });
    const sent = async () => (await admin.askWell('GET', `/broadcasts/${id}`)).sent;
    await until('the broadcast to begin', sent);
    await server.crash();
    await server.restart();
    ok((await sent()) < users.length, 'it was done before the crash');
    equal((await admin.broadcastDone(id)).sent, users.length);
    deepEqual(await new Storage(server).stored(title), { notifications: users.length, users: users.length });
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
    const visitor = await inbox.visitor();
    const page = new Page(visitor);
    await inbox.notify(visitor, { title: 'a' });
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
    const sent = {
      id: 42,
      name,
      app_id: apps.main.id,
      region: 'eu',
      sid_url: null,
      test_sid: true,
      allowed_origins: [SHOP],
    };
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
