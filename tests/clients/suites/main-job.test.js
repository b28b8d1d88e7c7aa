// What Tidings is for, once from end to end and with nothing shared but the browser: the pages of other suites are
// set up by this folder's helpers, this one is written as an app's page would be.

import { deepEqual, equal, notEqual } from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import Pusher from 'pusher';
import { apps, toml } from '../host/apps.js';
import { startAuthEndpoint } from '../host/auth-endpoint.js';
import { openBrowser } from '../host/browser.js';
import { python } from '../host/paths.js';
import { Server } from '../host/server.js';

const { id, key, secret } = apps.main;
const CHANNEL = 'private-orders';
const DATA = { order: 12, text: 'zażółć 🛎️' };

const server = await Server.start({ toml: toml() });
const auth = await startAuthEndpoint();
const browser = await openBrowser();
after(async () => {
  await browser.close();
  auth.close();
  await server.stop();
});

const MAIN_JOB = 'the main job: a page in Chromium with pusher-js 8.6 receives on a private channel';

test(`${MAIN_JOB} what the pusher library of npm triggered`, () =>
  receives(async () => {
    const backend = new Pusher({ appId: id, key, secret, host: '127.0.0.1', port: server.port, useTLS: false });
    equal((await backend.trigger(CHANNEL, 'shipped', DATA)).status, 200);
  }));

test(`${MAIN_JOB} what the pusher library of PyPI triggered`, () =>
  receives(async () => {
    const script = `
import json, sys, pusher
app_id, key, secret, port, channel, data = sys.argv[1:]
backend = pusher.Pusher(app_id, key, secret, host="127.0.0.1", port=int(port), ssl=False)
backend.trigger(channel, "shipped", json.loads(data))
`;
    const settings = [id, key, secret, String(server.port)];
    await promisify(execFile)(python, ['-c', script, ...settings, CHANNEL, JSON.stringify(DATA)]);
  }));

/** A page subscribes, `trigger` triggers, and the page has the event. */
async function receives(trigger) {
  const { page, uncaught, close } = await browser.open('/tests/clients/host/blank.html');
  notEqual(new URL(page.url()).origin, server.url, 'the page must be of another origin');
  await page.addScriptTag({ url: '/tests/clients/node_modules/pusher-js/dist/web/pusher.min.js' });
  const endpoint = `${auth.url}/main/channel/sign`;
  await page.evaluate(subscribe, { key, port: server.port, endpoint, channel: CHANNEL });
  await trigger();
  const event = await page.waitForFunction(() => window.event);
  deepEqual(await event.jsonValue(), DATA);
  deepEqual(uncaught, []);
  await close();
}

/** Runs in the page; returns when the subscription stands. */
function subscribe({ key, port, endpoint, channel }) {
  const pusher = new window.Pusher(key, {
    cluster: '',
    wsHost: '127.0.0.1',
    wsPort: port,
    forceTLS: false,
    enabledTransports: ['ws', 'wss'],
    channelAuthorization: { endpoint },
  });
  const orders = pusher.subscribe(channel);
  window.event = undefined;
  orders.bind('shipped', (data) => (window.event = data));
  return new Promise((resolve, reject) => {
    orders.bind('pusher:subscription_succeeded', () => resolve());
    orders.bind('pusher:subscription_error', (error) => reject(new Error(JSON.stringify(error))));
  });
}
