// The CRM's front-end page of examples/crm in Chromium, from another origin, with jQuery 3.4 and pusher-js 5.0 as npm
// has them in place of the CDNs.

import { deepEqual, equal, match, notEqual } from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openBrowser } from '../host/browser.js';
import { Inbox } from '../host/inbox.js';
import { here } from '../host/paths.js';

const inbox = await Inbox.open();
const browser = await openBrowser();
after(async () => {
  await browser.close();
  await inbox.close();
});

const script = (name) => ({ path: join(here, 'node_modules', name), contentType: 'text/javascript' });
const jquery = script('jquery/dist/jquery.min.js');
const pusher = script('pusher-js-5/dist/web/pusher.min.js');

/** The page of somebody, with what the site's templates would fill in for them. */
async function open(visitor, site = {}) {
  const values = {
    configUrl: `${inbox.server.url}/api/v1/config/${visitor.brand.name}`,
    brandId: visitor.brand.id,
    brandName: visitor.brand.name,
    sid: visitor.sid,
    ...site,
  };
  const answers = {
    'https://code.jquery.com/jquery-3.4.1.min.js': jquery,
    'https://js.pusher.com/5.0/pusher.min.js': pusher,
    '**/site.js': { body: `var site = ${JSON.stringify(values)};`, contentType: 'text/javascript' },
  };
  const opened = await browser.open('/examples/crm/index.html', { answers });
  const entry = (title) => opened.page.locator('#notifications li').filter({ hasText: title });
  return {
    ...opened,
    entry,
    titles: () => opened.page.locator('#notifications h2').allTextContents(),
    unread: (number) => opened.page.locator('#unread').getByText(String(number), { exact: true }).waitFor(),
    shows: (where, text) => opened.page.locator(where).getByText(text, { exact: true }).waitFor(),
    press: (title, button) => entry(title).getByText(button).click(),
  };
}

test('the versions are those that the page names', async () => {
  match(await readFile(jquery.path, 'utf8'), /jQuery v3\.4\./);
  match(await readFile(pusher.path, 'utf8'), /JavaScript Library v5\.0/);
});

test('login, list, all three events, mark and delete', async () => {
  const visitor = inbox.stranger();
  for (const title of ['first away', 'second away'])
    await inbox.notify(visitor, { title, preview_text: `${title}, in short` });
  const page = await open(visitor);
  notEqual(new URL(page.page.url()).origin, inbox.server.url, 'the page must be of another origin');
  await page.shows('#state', 'connected');
  await page.unread(2);
  deepEqual(await page.titles(), ['second away', 'first away']);
  await page.entry('first away').getByText('first away, in short').waitFor();

  await inbox.notify(visitor, { title: 'A message', event: 'message' });
  await page.shows('#message', 'A message');
  await page.unread(3);
  await inbox.notify(visitor, { title: 'A shoutout', event: 'shoutout' });
  await page.shows('#shoutout', 'A shoutout');
  await page.unread(4);
  await inbox.notify(visitor, { title: 'For the inbox', event: 'inbox' });
  await page.shows('#toast', 'For the inbox');
  await page.unread(5);
  await inbox.notify(visitor, { title: 'Hush', display_type: 'silent' });
  await page.unread(6);
  equal(await page.page.textContent('#toast'), 'For the inbox');

  await page.press('first away', 'Mark as read');
  await page.unread(5);
  equal(await page.entry('first away').getByText('Mark as read').count(), 0);
  await page.press('second away', 'Delete');
  await page.unread(4);
  const titles = ['Hush', 'For the inbox', 'A shoutout', 'A message', 'first away'];
  deepEqual(await page.titles(), titles);

  await visitor.login();
  const list = await visitor.list();
  deepEqual(
    list.map(({ Title, IsRead }) => [Title, IsRead]),
    titles.map((title) => [title, title === 'first away']),
  );
  deepEqual(page.uncaught, []);
  await page.close();
});

test('a page that comes back finds what it missed, once', async () => {
  const visitor = inbox.stranger();
  const page = await open(visitor);
  await page.shows('#state', 'connected');
  await page.close();
  await inbox.notify(visitor, { title: 'missed', event: 'message' });
  const again = await open(visitor);
  await again.shows('#state', 'connected');
  await again.unread(1);
  deepEqual(await again.titles(), ['missed']);
  equal(await again.page.textContent('#message'), '', 'it is not pushed once more');
  await again.close();
});

test('a page of a brand that lists its origins is let in only from there', async () => {
  const visitor = inbox.stranger({ brand: 'birch' });
  const page = await open(visitor);
  await page.shows('#state', 'no configuration');
  await page.close();
});

test('a page says why it does not connect', async () => {
  const visitor = await inbox.visitor();
  const cases = [
    [{ sid: 'a-sid-of-nobody' }, 'sid not accepted'],
    [{ configUrl: `${inbox.server.url}/api/v1/config/nobody` }, 'no configuration'],
    [{ brandName: 'birch' }, 'not subscribed (403)'],
    [{ brandId: 8 }, 'not subscribed (403)'],
  ];
  for (const [site, reason] of cases) {
    const page = await open(visitor, site);
    await page.shows('#state', reason);
    deepEqual(page.uncaught, []);
    await page.close();
  }
});
