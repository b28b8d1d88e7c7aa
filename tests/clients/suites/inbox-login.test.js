// How a page finds the server, and how a sid becomes a login: the config call, `LoginAuthToken`, and the operator's
// check in all the ways in which it can go.

import { deepEqual, equal, match, notEqual, ok } from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { apps } from '../host/apps.js';
import { Authority } from '../host/authority.js';
import { brands, brandsToml, TEST_SID } from '../host/brands.js';
import { call, Visitor } from '../host/fusion.js';
import { Inbox, newPerson } from '../host/inbox.js';
import { Operator } from '../host/operator.js';
import { Server } from '../host/server.js';
import { until } from '../shared/recorder.js';

// The operator has 3 s; what the server needs besides is little.
const CHECK_MS = 3_000;
const CHECK_LATEST_MS = 6_000;

const inbox = await Inbox.open();
const { server } = inbox;
const operator = inbox.operators.acorn;
after(() => inbox.close());

describe('config', () => {
  for (const mount of ['', '/b/acorn', '/b/birch']) {
    for (const { name, app, region } of Object.values(brands)) {
      test(`of ${name} at ${mount || 'the root'}`, async () => {
        const { status, body } = await call(`${server.url}${mount}/api/v1/config/${name}`);
        equal(status, 200);
        const base = `${server.url}/b/${name}`;
        const { wssPort, ...rest } = body;
        deepEqual(rest, {
          crmUrl: base,
          fusionUrl: base,
          prismaUrl: base,
          pusherKey: apps[app].key,
          pusherRegion: region,
          wsHost: '127.0.0.1',
          wsPort: server.port,
          forceTLS: false,
        });
        ok(Number.isInteger(wssPort));
      });
    }
  }

  test('of an unknown brand', async () => {
    const { status, body } = await call(`${server.url}/api/v1/config/nobody`);
    equal(status, 404);
    deepEqual(body, { error: 'unknown brand' });
  });

  test('a prefix with an unknown brand is not found', async () => {
    const response = await fetch(`${server.url}/b/nobody/Platform/LoginAuthToken`, { method: 'POST' });
    equal(response.status, 404);
  });
});

test('an empty POST without a content type logs in, and the answer is that of the documents', async () => {
  const visitor = inbox.stranger();
  const { status, body } = await visitor.tryLogin();
  equal(status, 200);
  const token = body.Data.JwtToken;
  const { UserId, Firstname, Lastname } = body.Data.User;
  ok(token.length >= 16);
  ok(Number.isSafeInteger(UserId) && UserId > 0);
  deepEqual([typeof Firstname, typeof Lastname], ['string', 'string']);
  deepEqual(body, {
    Data: {
      JwtToken: token,
      Authentication: { IsAuthenticated: true, 'IsAuthenticated:': true, AuthToken: token },
      User: { UserId, BrandId: brands.acorn.id, IsTestUser: false, Firstname, Lastname },
    },
    Success: true,
    Errors: null,
  });
});

for (const [what, headers, text] of [
  ['JSON', { 'Content-Type': 'application/json' }, '{}'],
  ['a form', { 'Content-Type': 'application/x-www-form-urlencoded' }, 'a=b'],
  ['rubbish', { 'Content-Type': 'text/plain' }, '{"'],
]) {
  test(`a login with ${what} in its body succeeds too`, async () => {
    const { sid } = inbox.stranger();
    const url = `${server.url}/b/acorn/Platform/LoginAuthToken`;
    const { body } = await call(url, { method: 'POST', headers: { authtoken: sid, ...headers }, body: text });
    equal(body.Success, true);
  });
}

test('the operator is asked by POST, in JSON, for exactly the sid', async () => {
  const sid = `quote " backslash \\ slash / percent %22 ${newPerson()}`;
  await inbox.visitor({ sid });
  const { method, path, headers, body } = operator.requests.at(-1);
  deepEqual([method, path], ['POST', '/authenticate']);
  match(headers['content-type'], /^application\/json\b/);
  equal(headers.sid, undefined);
  deepEqual(JSON.parse(body), { sid });
});

test('a number and a text of the same digits are the same person, on every login', async () => {
  const number = Math.floor(Math.random() * 1e9);
  const first = await inbox.visitor({ person: number });
  const second = await inbox.visitor({ person: String(number) });
  equal(second.userId, first.userId);
  notEqual(second.token, first.token);
  notEqual((await inbox.visitor()).userId, first.userId);
});

test('an operator that takes a second is waited for', async () => {
  const visitor = inbox.stranger();
  operator.acceptSlowly(visitor.sid, visitor.person, 1_000);
  await visitor.login();
});

test('a number too large for a double is kept to its last digit', async () => {
  const [one, other] = [inbox.stranger(), inbox.stranger()];
  operator.says(one.sid, '{"user_id":9007199254740992}');
  operator.says(other.sid, '{"user_id":9007199254740993}');
  notEqual((await one.login()).userId, (await other.login()).userId);
});

test('many first logins of one person at once make one user', async () => {
  const person = newPerson();
  const visitors = await Promise.all(Array.from({ length: 20 }, () => inbox.visitor({ person })));
  equal(new Set(visitors.map(({ userId }) => userId)).size, 1);
});

test('the same id of two brands is two people', async () => {
  const person = newPerson();
  const [here, there] = [await inbox.visitor({ person }), await inbox.visitor({ brand: 'birch', person })];
  notEqual(here.userId, there.userId);
  await inbox.notify(here, { title: 'for acorn' });
  deepEqual(await here.titles(), ['for acorn']);
  deepEqual(await there.titles(), []);
});

test('the prefix says which brand; at the root it is the first of the file', async () => {
  const visitor = inbox.stranger();
  const { body } = await visitor.tryLogin(server.url);
  equal(body.Data.User.BrandId, brands.acorn.id);
  equal((await visitor.tryLogin(`${server.url}/b/birch`)).body.Success, false);
  const other = inbox.stranger({ brand: 'birch' });
  equal((await other.tryLogin()).body.Data.User.BrandId, brands.birch.id);
  equal((await other.tryLogin(server.url)).body.Success, false);
});

const NOT_ACCEPTED = { Data: null, Success: false, Errors: ['sid not accepted'] };
const UNAVAILABLE = { Data: null, Success: false, Errors: ['login service unavailable'] };

async function refusedWith(visitor, expected) {
  const { status, body } = await visitor.tryLogin();
  equal(status, 200);
  deepEqual(body, expected);
}

describe('sid not accepted', () => {
  for (const status of [400, 401, 403, 404, 429]) {
    test(`where the operator says ${status}`, async () => {
      const visitor = inbox.stranger();
      operator.status(visitor.sid, status);
      await refusedWith(visitor, NOT_ACCEPTED);
    });
  }

  test('where there is none, and the operator is not asked', async () => {
    const before = operator.requests.length;
    for (const headers of [{}, { authtoken: '' }]) {
      const { status, body } = await call(`${server.url}/b/acorn/Platform/LoginAuthToken`, { method: 'POST', headers });
      equal(status, 200);
      deepEqual(body, NOT_ACCEPTED);
    }
    equal(operator.requests.length, before);
  });

  test('where the operator says 201 or 204, as any status but 200', async () => {
    for (const status of [201, 204]) {
      const visitor = inbox.stranger();
      operator.status(visitor.sid, status);
      equal((await visitor.tryLogin()).body.Success, false);
    }
  });

  test('where the operator sends elsewhere, and nobody goes there', async () => {
    const visitor = inbox.stranger();
    operator.status(visitor.sid, 307, { Location: inbox.operators.birch.url });
    equal((await visitor.tryLogin()).body.Success, false);
    equal(inbox.operators.birch.asked(visitor.sid), 0);
  });
});

describe('login service unavailable', () => {
  for (const status of [500, 502, 503]) {
    test(`where the operator says ${status}`, async () => {
      const visitor = inbox.stranger();
      operator.status(visitor.sid, status);
      await refusedWith(visitor, UNAVAILABLE);
      equal(operator.asked(visitor.sid), 1);
    });
  }

  for (const manner of ['drop', 'dropMidway', 'endless']) {
    test(`where the operator does ${manner}`, async () => {
      const visitor = inbox.stranger();
      operator.fail(visitor.sid, manner);
      await refusedWith(visitor, UNAVAILABLE);
    });
  }

  for (const text of [
    '<html>',
    '',
    '{"user_id":',
    '[]',
    '"123"',
    '{}',
    '{"user_id":null}',
    '{"user_id":{}}',
    '{"user_id":""}',
  ]) {
    test(`where the operator says 200 and ${text || 'nothing'}`, async () => {
      const visitor = inbox.stranger();
      operator.says(visitor.sid, text);
      await refusedWith(visitor, UNAVAILABLE);
    });
  }

  test('where the operator hangs, after 3 s, and others log in meanwhile', async () => {
    const visitors = Array.from({ length: 300 }, () => inbox.stranger());
    for (const { sid } of visitors) operator.fail(sid, 'hang');
    const start = performance.now();
    const hanging = visitors.map((visitor) => refusedWith(visitor, UNAVAILABLE));
    await inbox.visitor({ brand: 'birch' });
    const others = performance.now() - start;
    ok(others < CHECK_MS, `the other brand's login took ${others} ms`);
    await Promise.all(hanging);
    const took = performance.now() - start;
    ok(took > CHECK_MS * 0.9 && took < CHECK_LATEST_MS, `it took ${took} ms`);
  });

  test('where the operator is down, and the next login tries again', async () => {
    const visitor = inbox.stranger();
    operator.down();
    await refusedWith(visitor, UNAVAILABLE);
    await operator.up();
    await visitor.login();
  });
});

test('a refusal is never remembered', async () => {
  const visitor = inbox.stranger();
  operator.status(visitor.sid, 401);
  await refusedWith(visitor, NOT_ACCEPTED);
  operator.status(visitor.sid, 500);
  await refusedWith(visitor, UNAVAILABLE);
  operator.accept(visitor.sid, visitor.person);
  await visitor.login();
  equal(operator.asked(visitor.sid), 3);
});

test('an accepted sid is remembered: the operator is asked once, whatever the visit does', async () => {
  const visitor = await inbox.visitor();
  await visitor.listen();
  await visitor.list();
  visitor.token = visitor.sid;
  await visitor.list();
  await visitor.login();
  operator.fail(visitor.sid, 'drop');
  await visitor.login();
  deepEqual(await visitor.list(), []);
  equal(operator.asked(visitor.sid), 1);
});

test('an accepted sid is still known after a restart', async () => {
  const visitor = await inbox.visitor();
  await server.quit();
  await server.restart();
  deepEqual(await visitor.list(), []);
  visitor.token = visitor.sid;
  deepEqual(await visitor.list(), []);
  equal(operator.asked(visitor.sid), 1);
});

describe('the test sid', () => {
  test('is a sid like any other where the switch is off', async () => {
    const { body } = await call(`${server.url}/b/acorn/Platform/LoginAuthToken`, {
      method: 'POST',
      headers: { authtoken: TEST_SID },
    });
    deepEqual(body, NOT_ACCEPTED);
  });

  test('is a test user where it is on', async () => {
    const visitor = inbox.stranger({ brand: 'birch', person: 'test', sid: TEST_SID });
    const { User } = (await visitor.tryLogin()).body.Data;
    equal(User.IsTestUser, true);
    await visitor.login();
    equal(visitor.userId, User.UserId);
    const events = await visitor.listen();
    await inbox.notify(visitor, { title: 'a test' });
    equal((await events.nextWhere(({ event }) => event === 'inbox')).data.Title, 'a test');
    equal(inbox.operators.birch.asked(TEST_SID), 0);
  });
});

test('by TLS an operator is asked whose certificate the configured authority has signed, and no other', async () => {
  const [authority, stranger] = [await Authority.open(), await Authority.open({ name: 'A stranger' })];
  const operators = {};
  for (const [brand, by] of [['acorn', authority], ['birch', stranger]]) {
    await by.issue();
    operators[brand] = await Operator.start(await by.pair());
  }
  const secured = await Server.start({ toml: `[outbound]\nca = "${authority.ca}"\n${brandsToml(operators)}` });
  try {
    for (const [brand, operator] of Object.entries(operators)) {
      const visitor = new Visitor({ server: secured, brand, sid: `sid-of-${brand}`, person: newPerson() });
      operator.accept(visitor.sid, visitor.person);
      const { body } = await visitor.tryLogin();
      deepEqual([body.Success, body.Errors], brand === 'acorn' ? [true, null] : [false, ['login service unavailable']]);
    }
    equal(operators.birch.requests.length, 0);
    const reason = (line) => line.includes('login check failed') && line.includes('UnknownIssuer');
    await until('the reason in the log', async () => secured.log.some(reason));
  } finally {
    await secured.stop();
    for (const operator of Object.values(operators)) operator.down();
    await authority.close();
    await stranger.close();
  }
});
