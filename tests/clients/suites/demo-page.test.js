// The first thing a visitor sees: the server started without any configuration, and its demo page.

import { deepEqual } from 'node:assert/strict';
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

test('the demo page shows an event that `tidings trigger` sent', async () => {
  const { page, uncaught, close } = await browser.open(server.url);
  const text = 'zażółć 🛎️ from the command line';
  await page.getByText('connected', { exact: true }).waitFor();
  const command = ['trigger', '--url', server.url, 'demo', 'hello', JSON.stringify({ text })];
  await promisify(execFile)(binary, command, { cwd: server.directory, env: environment() });
  await page.getByText(text).waitFor();
  deepEqual(uncaught, []);
  await close();
});
