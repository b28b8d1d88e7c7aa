// Deleting, with the two slashes that pages write: `DELETE …//Notifications/v2/user-notification/5001`.

import { deepEqual, equal } from 'node:assert/strict';
import { after, test } from 'node:test';
import { isCounts } from '../host/fusion.js';
import { Inbox } from '../host/inbox.js';
import { activity } from '../host/onsite.js';
import { openBrowser } from '../host/browser.js';

const DONE = { Data: true, Success: true, Errors: [] };
const NOT_FOUND = { Data: false, Success: false, Errors: ['notification not found'] };

const inbox = await Inbox.open();
after(() => inbox.close());

const slashes = {
  'as pages write it': '//Notifications/v2/user-notification/',
  'with one slash': '/Notifications/v2/user-notification/',
  'with slashes everywhere': '///Notifications//v2///user-notification//',
};
for (const [what, path] of Object.entries(slashes)) {
  for (const base of ['the prefix', 'the root']) {
    test(`deletes ${what} under ${base}`, async () => {
      const visitor = await inbox.visitor();
      if (base === 'the root') visitor.fusionUrl = inbox.server.url;
      const [kept, item] = [
        await inbox.notified(visitor, { title: 'a' }),
        await inbox.notified(visitor, { title: 'b' }),
      ];
      // `askWell` follows no redirect and wants a 200.
      deepEqual(await visitor.askWell('DELETE', `${path}${item.MessageId}`), DONE);
      deepEqual(await visitor.list(), [kept]);
    });
  }
}

test('slashes are collapsed on the other paths too', async () => {
  const visitor = inbox.stranger();
  const { body } = await visitor.tryLogin(`${visitor.fusionUrl}/`);
  visitor.token = body.Data.Authentication.AuthToken;
  await inbox.notify(visitor, { title: 'a' });
  const list = await visitor.askWell(
    'GET',
    '//Notifications//v2/user-notifications?unread-only=false&inbox-only=false',
  );
  const { MessageId } = list.Data[0];
  const one = await visitor.askWell('GET', `//Notifications/v2/user-notification/${MessageId}`);
  deepEqual(one.Data, list.Data[0]);
  const options = { body: JSON.stringify({ MessageId }) };
  equal((await visitor.askWell('POST', '//Notifications//MarkNotificationAsRead', options)).Success, true);
});

test('what was deleted is gone from list, counts and single read, and cannot be deleted again', async () => {
  const visitor = await inbox.visitor();
  const { MessageId } = await inbox.notified(visitor, { title: 'gone' });
  const events = await visitor.listen();
  deepEqual(await visitor.remove(MessageId), DONE);
  await events.nextWhere(isCounts);
  deepEqual(await visitor.list(), []);
  deepEqual(await visitor.one(MessageId), { Data: null, Success: false, Errors: ['notification not found'] });
  deepEqual(await visitor.remove(MessageId), NOT_FOUND);
  await inbox.notify(visitor, { title: 'next' });
  const counts = await events.nextWhere(isCounts);
  deepEqual(counts.data, { Unread: 1, Unseen: 1, Total: 1 });
});

test('what was deleted does not come back when its sender sends it again', async () => {
  const visitor = await inbox.visitor();
  const item = activity({ person: visitor.person, title: 'once and for all' });
  const ref = await inbox.sender.send(item);
  await visitor.remove((await visitor.list())[0].MessageId);
  equal(await inbox.sender.send(item), ref);
  deepEqual((await inbox.sender.sendBatch([item])).successful, [{ id: item.activity.id, site_notification_id: ref }]);
  deepEqual(await visitor.list(), []);
});

test('one of many deletions at once succeeds', async () => {
  const visitor = await inbox.visitor();
  const { MessageId } = await inbox.notified(visitor, { title: 'fought over' });
  const answers = await Promise.all(Array.from({ length: 10 }, () => visitor.remove(MessageId)));
  deepEqual(
    answers.filter(({ Success }) => Success),
    [DONE],
  );
  deepEqual(
    answers.filter(({ Success }) => !Success),
    Array.from({ length: 9 }, () => NOT_FOUND),
  );
});

for (const id of ['1', '0', '-1', 'abc', '99999999999999999999999999']) {
  test(`there is no notification ${id} to delete`, async () => {
    deepEqual(await (await inbox.visitor()).remove(id), NOT_FOUND);
  });
}

test('in Chromium, from another origin, the preflight passes and jQuery deletes', async () => {
  const browser = await openBrowser();
  after(() => browser.close());
  const visitor = await inbox.visitor();
  const { MessageId } = await inbox.notified(visitor, { title: 'by jQuery' });
  const { page, uncaught } = await browser.open('/tests/clients/host/blank.html');
  await page.addScriptTag({ url: '/tests/clients/node_modules/jquery/dist/jquery.js' });
  const answer = await page.evaluate(removeInPage, {
    fusionUrl: visitor.fusionUrl,
    token: visitor.token,
    id: MessageId,
  });
  deepEqual(answer, DONE);
  deepEqual(await visitor.list(), []);
  deepEqual(uncaught, []);
});

/** Runs in the page. */
function removeInPage({ fusionUrl, token, id }) {
  return window.$.ajax({
    url: `${fusionUrl}//Notifications/v2/user-notification/${id}`,
    type: 'DELETE',
    headers: { authtoken: token },
    data: {},
  });
}
