// The first thing a visitor sees: the server started without any configuration, and its demo page.

import { deepEqual, equal } from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { openBrowser } from '../host/browser.js';
import { Server, binary, environment } from '../host/server.js';

const server = await Server.start();
const browser = await openBrowser();
after(async () => {
  await browser.close();
  await server.stop();
});

test('the demo page shows an event that `tidings trigger` sent, also after a restart of the server', async () => {
  const { page, uncaught, close } = await browser.open(server.url);
  for (const text of ['zażółć 🛎️ from the command line', 'and <b>again</b>']) {
    await page.getByText('connected', { exact: true }).waitFor();
    await trigger(text);
    await page.getByText(text).waitFor();
    await server.crash();
    await page.getByText('disconnected').waitFor();
    await server.restart();
  }
  deepEqual(uncaught, []);
  await close();
});

test('the demo page shows what `tidings notify` put into the inbox, also what was sent while it was away', async () => {
  await notify('Sent while away', 'and <b>kept</b>');
  const { page, uncaught, close } = await browser.open(server.url);
  const item = (text) => page.locator('#inbox li', { hasText: text });
  await item('Sent while away: and <b>kept</b>').waitFor();
  await notify('Sent while open');
  await item('Sent while open').waitFor();
  equal(await page.locator('#unread').textContent(), '2');
  await item('Sent while away').getByText('Mark as read').click();
  await page.locator('#unread', { hasText: '1' }).waitFor();
  await item('Sent while open').getByText('Delete').click();
  await page.locator('#unread', { hasText: '0' }).waitFor();
  equal(await item('Sent while open').count(), 0);
  deepEqual(uncaught, []);
  await close();
});

test('the demo page gets over a server that went away while it signed in or read the inbox', async () => {
  const { page, uncaught, close } = await browser.open(server.url);
  for (const cut of ['LoginAuthToken', 'external/pusher/demo', 'user-notifications']) {
    const calls = `**/b/demo/**/${cut}*`;
    await page.reload();
    await page.locator('#inbox').waitFor();
    await page.route(calls, (route) => route.abort('connectionreset'));
    const failed = page.waitForEvent('requestfailed', (request) => request.url().includes(cut));
    await page.reload();
    await failed;
    await page.unroute(calls);
    await server.crash();
    await page.getByText('disconnected').waitFor();
    await server.restart();
    await page.getByText('connected', { exact: true }).waitFor();
    const text = `Back after ${cut}`;
    await notify(text);
    await page.locator('#inbox li', { hasText: text }).waitFor();
  }
  deepEqual(uncaught, []);
  await close();
});

/** As a visitor would, in the folder in which the server was started. */
function notify(...words) {
  return promisify(execFile)(binary, ['notify', 'test', ...words], { cwd: server.directory, env: environment() });
}

/** As a visitor would, in the folder in which the server was started. */
function trigger(text) {
  const command = ['trigger', '--url', server.url, 'demo', 'hello', JSON.stringify({ text })];
  return promisify(execFile)(binary, command, { cwd: server.directory, env: environment() });
}
