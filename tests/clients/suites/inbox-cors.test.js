// What lets pages of other origins call, on every answer of the browser-facing paths; and nothing of it on the others.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { request } from 'node:http';
import { once } from 'node:events';
import { after, describe, test } from 'node:test';
import { brands, ELSEWHERE, SHOP } from '../host/brands.js';
import { Inbox } from '../host/inbox.js';

const inbox = await Inbox.open();
const { server } = inbox;
after(() => inbox.close());

const METHODS = 'GET, POST, PUT, PATCH, DELETE, OPTIONS';
const HEADERS = 'authtoken, content-type, es-token, authorization, x-requested-with';
const EXPOSED = 'ES-TOKEN, Retry-After';

const paths = (brand) => ({
  [`/api/v1/config/${brand}`]: 'GET',
  '/Platform/LoginAuthToken': 'POST',
  [`/external/pusher/${brand}`]: 'POST',
  [`/external/pusher/${brand}/user-auth`]: 'POST',
  '/Notifications/v2/user-notifications?unread-only=false&inbox-only=false': 'GET',
  '/Notifications/v2/user-notification/5001': 'DELETE',
  '//Notifications/v2/user-notification/5001': 'DELETE',
  '/Notifications/MarkNotificationAsRead': 'POST',
});

/** Asks with an `Origin`, which fetch would not let through; gives `{status, headers}`. */
async function ask(method, path, headers = {}) {
  const sent = request(`${server.url}${path}`, { method, headers: { Origin: SHOP, ...headers } });
  sent.end();
  const [response] = await once(sent, 'response');
  response.resume();
  await once(response, 'end');
  return { status: response.statusCode, headers: response.headers };
}

const preflight = (path, method, headers) =>
  ask('OPTIONS', path, {
    'Access-Control-Request-Method': method,
    'Access-Control-Request-Headers': 'authtoken',
    ...headers,
  });

const corsHeaders = (headers) => Object.keys(headers).filter((name) => name.startsWith('access-control-'));

const variesByOrigin = (headers) => /(^|,)\s*origin\s*(,|$)/i.test(headers.vary ?? '');

describe('preflights', () => {
  for (const mount of ['', '/b/acorn']) {
    for (const [path, method] of Object.entries(paths('acorn'))) {
      test(`${method} ${mount}${path}`, async () => {
        const { status, headers } = await preflight(`${mount}${path}`, method);
        equal(status, 204);
        equal(headers['access-control-allow-origin'], '*');
        equal(headers['access-control-allow-methods'], METHODS);
        equal(headers['access-control-allow-headers'], HEADERS);
        equal(headers['access-control-max-age'], '600');
        equal(headers['access-control-allow-credentials'], undefined);
      });
    }
  }
});

describe('answers, also those of errors', () => {
  const open = (headers) => {
    equal(headers['access-control-allow-origin'], '*');
    equal(headers['access-control-expose-headers'], EXPOSED);
    equal(headers['access-control-allow-credentials'], undefined);
  };
  for (const mount of ['', '/b/acorn']) {
    for (const [path, method] of Object.entries(paths('acorn'))) {
      test(`${method} ${mount}${path} without a login`, async () =>
        open((await ask(method, `${mount}${path}`)).headers));
    }
  }

  test('of an unknown brand', async () => {
    const { status, headers } = await ask('GET', '/api/v1/config/nobody');
    equal(status, 404);
    open(headers);
  });

  test('of a refused channel', async () => {
    const { status, headers } = await ask('POST', '/b/acorn/external/pusher/acorn?authToken=x');
    equal(status, 403);
    open(headers);
  });

  test('of a method that is not served there', async () => {
    const { status, headers } = await ask('PUT', '/b/acorn/Notifications/MarkNotificationAsRead');
    ok([404, 405].includes(status));
    open(headers);
  });

  test('of a body that is too large', async () => {
    const { token } = await inbox.visitor();
    const url = `${server.url}/b/acorn/Notifications/MarkNotificationAsRead`;
    const body = 'a'.repeat(1024 * 1024 + 1);
    const response = await fetch(url, { method: 'POST', headers: { authtoken: token }, body });
    await response.text();
    equal(response.headers.get('access-control-allow-origin'), '*');
  });

  test('of a success', async () => {
    const visitor = await inbox.visitor();
    const { status, headers } = await ask('GET', '/b/acorn/Notifications/v2/user-notifications', {
      authtoken: visitor.token,
    });
    equal(status, 200);
    open(headers);
  });
});

describe('a brand that lists its origins', () => {
  for (const [path, method] of Object.entries(paths('birch'))) {
    test(`${method} ${path}`, async () => {
      for (const [origin, allowed] of [
        [SHOP, true],
        [ELSEWHERE, false],
        [`${SHOP}.evil.example`, false],
        ['null', false],
      ]) {
        for (const answer of [
          await preflight(`/b/birch${path}`, method, { Origin: origin }),
          await ask(method, `/b/birch${path}`, { Origin: origin }),
        ]) {
          equal(answer.headers['access-control-allow-origin'], allowed ? origin : undefined, origin);
          ok(variesByOrigin(answer.headers), 'Vary: Origin');
        }
      }
    });
  }

  test('is known at the root by its name in the path', async () => {
    const path = '/api/v1/config/birch';
    equal((await ask('GET', path)).headers['access-control-allow-origin'], SHOP);
    equal((await ask('GET', path, { Origin: ELSEWHERE })).headers['access-control-allow-origin'], undefined);
  });
});

describe('server to server', () => {
  for (const mount of ['', '/b/acorn', '/b/birch']) {
    for (const path of ['/channels/site/single', '/channels/site/batch', '//channels/site/single']) {
      test(`${mount}${path} says nothing of origins`, async () => {
        const key = { 'x-api-key': brands.acorn.apiKey };
        const answers = await Promise.all([
          preflight(`${mount}${path}`, 'POST'),
          ask('POST', `${mount}${path}`),
          ask('POST', `${mount}${path}`, key),
          ask('GET', `${mount}${path}`, key),
        ]);
        deepEqual(
          answers.map(({ headers }) => corsHeaders(headers)),
          [[], [], [], []],
        );
      });
    }
  }
});
