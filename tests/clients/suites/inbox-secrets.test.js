// Sids, tokens and api keys are bearer secrets: neither the log nor the database says them, whatever went wrong.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { after, test } from 'node:test';
import { brands, TEST_SID } from '../host/brands.js';
import { call, FORM } from '../host/fusion.js';
import { Inbox } from '../host/inbox.js';
import { activity, Sender } from '../host/onsite.js';
import { Storage } from '../host/storage.js';

const WRONG_KEY = 'wrong-api-key-0123456789';
const DEAD_TOKEN = 'dead-token-0123456789abcdef';

const levels = ['info', 'trace'];
const inboxes = await Promise.all(levels.map((level) => Inbox.open({ variables: { TIDINGS_LOG: level } })));
after(() => Promise.all(inboxes.map((inbox) => inbox.close())));

for (const [index, inbox] of inboxes.entries()) {
  const { server, operators } = inbox;

  test(`nothing of a visit, good or bad, is in the log at level ${levels[index]} or legible in the database`, async () => {
    const visitor = await inbox.visitor();
    const failing = ['hang', 'drop', 'dropMidway'].map((manner) => {
      const stranger = inbox.stranger();
      operators.acorn.fail(stranger.sid, manner);
      return stranger;
    });
    for (const status of [401, 500]) {
      const stranger = inbox.stranger();
      operators.acorn.status(stranger.sid, status);
      failing.push(stranger);
    }
    const rubbish = inbox.stranger();
    operators.acorn.says(rubbish.sid, '<html>');
    failing.push(rubbish);

    const { MessageId } = await inbox.notified(visitor, { title: 'a' });
    await visitor.listen();
    await visitor.listen({ authToken: visitor.token });
    await visitor.mark(MessageId);
    await visitor.markWith('{', FORM);
    await visitor.remove(MessageId);
    await visitor.one(1);
    await visitor.listAnswer({ token: DEAD_TOKEN });
    await call(`${server.url}/b/acorn/external/pusher/birch?authToken=${visitor.sid}`);
    await call(`${server.url}/b/acorn/external/pusher/acorn?authToken=${DEAD_TOKEN}`);
    await fetch(`${server.url}/b/acorn/no/such/path?authToken=${visitor.sid}`);
    await fetch(`${server.url}/b/acorn/external/pusher/acorn?authToken=${visitor.token}`, { method: 'PATCH' });
    await Promise.all(failing.map((stranger) => stranger.tryLogin()));
    await call(`${visitor.fusionUrl}/Platform/LoginAuthToken`, { method: 'POST', headers: { authtoken: TEST_SID } });
    for (const apiKey of [brands.acorn.apiKey, brands.birch.apiKey, WRONG_KEY]) {
      await new Sender(server, apiKey).single(activity({ person: visitor.person }));
      await new Sender(server, apiKey).batch([activity({ person: visitor.person }), {}]);
    }

    const secrets = [
      visitor.sid,
      visitor.token,
      ...failing.map(({ sid }) => sid),
      DEAD_TOKEN,
      TEST_SID,
      WRONG_KEY,
      ...Object.values(brands).map(({ apiKey }) => apiKey),
    ];
    const bytes = await new Storage(server).bytes();
    ok(bytes.includes(visitor.person), 'the database is not where it was looked for');
    deepEqual(
      secrets.filter((secret) => bytes.includes(secret)),
      [],
    );
    // What it still had to say it has said when it has ended.
    await server.quit();
    ok(server.log.length > 3);
    deepEqual(
      server.log.filter((line) => secrets.some((secret) => line.includes(secret))),
      [],
    );
    await server.restart();
    equal((await visitor.listAnswer()).Success, true);
  });
}
