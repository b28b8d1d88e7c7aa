// Sent while nobody was there: in the list at the next login, once, and never again by the socket.

import { deepEqual, equal } from 'node:assert/strict';
import { after, test } from 'node:test';
import { KINDS } from '../host/fusion.js';
import { Inbox } from '../host/inbox.js';

const inbox = await Inbox.open();
after(() => inbox.close());

const titles = KINDS.map((kind) => `a ${kind}`);
const sendAll = async (person) => {
  for (const kind of KINDS) await inbox.notify(person, { title: `a ${kind}`, event: kind });
};

/** Logs in as a new page does; has the list, and from the socket only what comes after. */
async function returns(stranger) {
  const visitor = await inbox.device(stranger);
  deepEqual(await visitor.titles(), [...titles].reverse());
  const events = await visitor.listen();
  await inbox.notify(visitor, { title: 'marker' });
  equal((await events.next()).data.Title, 'marker');
  equal((await visitor.list()).length, titles.length + 1);
}

test('to somebody who had left', async () => {
  const visitor = await inbox.visitor();
  const events = await visitor.listen();
  await inbox.notify(visitor, { title: 'seen' });
  await visitor.remove((await events.next()).data.MessageId);
  visitor.leave();
  await sendAll(visitor);
  await returns(visitor);
});

test('to somebody who had never been there', async () => {
  const stranger = inbox.stranger();
  await sendAll(stranger);
  await returns(stranger);
});

for (const ending of ['crash', 'quit']) {
  test(`before a ${ending} of the server`, async () => {
    const visitor = await inbox.visitor();
    await sendAll(visitor);
    await inbox.server[ending]();
    await inbox.server.restart();
    await returns(visitor);
  });
}
