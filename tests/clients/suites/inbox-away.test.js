// Sent while nobody was there: in the list at the next login, once, and never again by the socket.

import { deepEqual, equal } from 'node:assert/strict';
import { after, test } from 'node:test';
import { eventsUpTo, isNews, KINDS, nextNews } from '../host/fusion.js';
import { Inbox } from '../host/inbox.js';

const inbox = await Inbox.open();
after(() => inbox.close());

const titles = KINDS.map((kind) => `a ${kind}`);
const sendAll = async (person) => {
  for (const kind of KINDS) await inbox.notify(person, { title: `a ${kind}`, event: kind });
};

/** Logs in as a new page does, and has the list; gives the titles that the socket then tells. */
async function returns(stranger) {
  const visitor = await inbox.device(stranger);
  deepEqual(await visitor.titles(), [...titles].reverse());
  const events = await visitor.listen();
  await inbox.notify(visitor, { title: 'marker' });
  const seen = await eventsUpTo(events, (entry) => isNews(entry) && entry.data.Title === 'marker');
  equal((await visitor.list()).length, titles.length + 1);
  return seen.filter(isNews).map(({ data }) => data.Title);
}

test('to somebody who had left', async () => {
  const visitor = await inbox.visitor();
  const events = await visitor.listen();
  await inbox.notify(visitor, { title: 'seen' });
  await visitor.remove((await events.next()).data.MessageId);
  visitor.leave();
  await sendAll(visitor);
  deepEqual(await returns(visitor), ['marker']);
});

test('to somebody who had never been there', async () => {
  const stranger = inbox.stranger();
  await sendAll(stranger);
  deepEqual(await returns(stranger), ['marker']);
});

test('before the server was told to end', async () => {
  const visitor = await inbox.visitor();
  await sendAll(visitor);
  await inbox.server.quit();
  await inbox.server.restart();
  deepEqual(await returns(visitor), ['marker']);
});

test('and what a page was told before an orderly restart is not told again', async () => {
  const visitor = await inbox.visitor();
  const events = await visitor.listen();
  await sendAll(visitor);
  for (const title of titles) equal((await nextNews(events)).data.Title, title);
  await inbox.server.quit();
  await inbox.server.restart();
  deepEqual(await returns(visitor), ['marker']);
});

test('before the server crashed, which may not have noted yet that nobody was there to be told', async () => {
  const visitor = await inbox.visitor();
  await sendAll(visitor);
  await inbox.server.crash();
  await inbox.server.restart();
  const told = await returns(visitor);
  equal(told.pop(), 'marker');
  deepEqual(told, titles.slice(titles.length - told.length));
});
