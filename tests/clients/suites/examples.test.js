// The examples, run as their comments say, with the page of examples/page open in Chromium.

import { deepEqual, equal, match } from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, describe, test } from 'node:test';
import { apps, toml } from '../host/apps.js';
import { openBrowser } from '../host/browser.js';
import { python, repository } from '../host/paths.js';
import { Server } from '../host/server.js';
import { within } from '../shared/recorder.js';

const examples = join(repository, 'examples');
const server = await Server.start({ toml: toml() });
const browser = await openBrowser();
after(async () => {
  await browser.close();
  await server.stop();
});

const backends = {
  node: [process.execPath, 'backend.js'],
  python: [python, 'backend.py'],
};

for (const [name, command] of Object.entries(backends)) {
  test(`the page and the backend in ${name}: what one page sends, every page shows`, async () => {
    const backend = await startBackend(join(examples, name), command);
    after(() => backend.stop());
    const [writer, reader] = [await openSubscribed(backend.url), await openSubscribed(backend.url)];
    const text = `zażółć 🛎️ <b>${name}</b>`;
    await writer.page.fill('input', text);
    await writer.page.click('button');
    for (const { page, uncaught } of [writer, reader]) {
      equal(await page.textContent('li'), text);
      deepEqual(uncaught, []);
    }
    await writer.close();
    await reader.close();
  });
}

for (const [name, [program, ...args]] of Object.entries(backends)) {
  test(`the backend in ${name} says which variables it needs`, () => {
    const { PUSHER_APP_ID, PUSHER_APP_KEY, PUSHER_APP_SECRET, ...env } = process.env;
    const options = { cwd: join(examples, name), env: { ...env, PUSHER_APP_KEY: 'k', PORT: '0' }, timeout: 30_000 };
    const { status, stdout, stderr } = spawnSync(program, args, { ...options, encoding: 'utf8' });
    deepEqual([status, stdout], [1, '']);
    equal(stderr, 'set PUSHER_APP_ID, PUSHER_APP_SECRET: `tidings` prints the values when it starts\n');
  });
}

describe('laravel', () => {
  test('each variable of the .env is known, and the page gets a copy of all but the secret', async () => {
    const lines = (await readFile(join(examples, 'laravel/.env'), 'utf8')).split('\n');
    const set = Object.fromEntries(lines.filter((line) => /^[A-Z]/.test(line)).map((line) => line.split(/=(.*)/s)));
    const page = ['APP_KEY', 'HOST', 'PORT', 'SCHEME', 'APP_CLUSTER'];
    const wanted = ['BROADCAST_CONNECTION', 'PUSHER_APP_ID', 'PUSHER_APP_SECRET'];
    wanted.push(...page.map((name) => `PUSHER_${name}`), ...page.map((name) => `VITE_PUSHER_${name}`));
    deepEqual(Object.keys(set).sort(), wanted.sort());
    equal(set.BROADCAST_CONNECTION, 'pusher');
    for (const name of page) equal(set[`VITE_PUSHER_${name}`], `"\${PUSHER_${name}}"`);
  });
});

async function startBackend(directory, [program, ...args]) {
  const { id, key, secret } = apps.main;
  const settings = { PUSHER_APP_ID: id, PUSHER_APP_KEY: key, PUSHER_APP_SECRET: secret, PUSHER_PORT: server.port };
  const child = spawn(program, args, {
    cwd: directory,
    env: { ...process.env, ...settings, PORT: '0', PYTHONDONTWRITEBYTECODE: '1' },
    // Python's server tells of each request on standard error.
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [line] = await within('the backend to start', once(createInterface({ input: child.stdout }), 'line'));
  match(line, /^open http:/);
  return {
    url: line.replace('open ', ''),
    async stop() {
      const exit = once(child, 'exit');
      child.kill();
      await exit;
    },
  };
}

async function openSubscribed(url) {
  const opened = await browser.open(url);
  await opened.page.getByText('subscribed').waitFor();
  return opened;
}
