// The server is killed at any moment, under load, and started again: what it has acknowledged is there, once, and every
// open page was told of it or finds it in the list. KILL_CYCLES says how often; `make test-long` does it 200 times.

import { equal, ok } from 'node:assert/strict';
import { after, test } from 'node:test';
import { Inbox } from '../host/inbox.js';
import { Ledger } from '../host/ledger.js';
import { Load } from '../host/load.js';
import { OpenPage } from '../host/open-page.js';
import { pause } from '../shared/recorder.js';

const cycles = Number(process.env.KILL_CYCLES ?? 10);
const VISITORS = 4;
/** What an inbox is cut to between cycles: below its limit, so that nothing is dropped that was not deleted. */
const KEPT = 150;

const inbox = await Inbox.open();
after(() => inbox.close());

test(`${cycles} times killed under load`, async (t) => {
  const visitors = await Promise.all(Array.from({ length: VISITORS }, () => inbox.visitor()));
  const ledger = new Ledger();
  const load = new Load(inbox.server, visitors, ledger);
  const pages = visitors.map((visitor) => new OpenPage(visitor));
  await Promise.all(pages.map((page) => page.load()));

  for (let cycle = 1; cycle <= cycles; cycle += 1) {
    load.start();
    await load.until(ledger.more(20 + Math.floor(Math.random() * 100)));
    await pause(Math.random() * 20);
    await inbox.server.crash();
    await inbox.server.restart();
    await Promise.all(pages.map((page) => page.load()));
    await load.stop();

    // Now that nobody dies, every push arrives.
    const connections = pages.map((page) => page.connection);
    const before = new Set(ledger.entries.map(({ id }) => id));
    load.start();
    await load.until(ledger.more(40));
    await load.stop();
    for (const [index, page] of pages.entries()) {
      const { person } = page.visitor;
      await page.told(await load.send(page.visitor));
      const calm = ledger.of(person).filter(({ id }) => !before.has(id));
      page.checkTold(calm.map(({ id }) => id), connections[index]);
      page.check(ledger);

      const list = await page.visitor.list();
      ledger.check(person, list);
      equal(page.counts.Total, list.length, 'counted as in the list');
      equal(page.counts.Unread, list.filter(({ IsRead }) => !IsRead).length, 'counted as in the list');

      for (const { MessageId, Title } of list.slice(KEPT)) {
        const done = ledger.changing(Title, 'deleted');
        ok((await page.visitor.remove(MessageId)).Success);
        done();
      }
    }
  }

  // Whatever was sent from the beginning is known, with the reference it had.
  await load.sendAgain(ledger.entries);
  for (const { visitor } of pages) ledger.check(visitor.person, await visitor.list());
  const onlyListed = ledger.entries.filter(({ id, person }) => !pageOf(person).wasTold(id)).length;
  t.diagnostic(`${ledger.entries.length} activities acknowledged; of ${onlyListed} pages know from the list only`);

  function pageOf(person) {
    return pages.find(({ visitor }) => visitor.person === person);
  }
});
