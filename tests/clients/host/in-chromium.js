// Runs cases in a page of headless Chromium, with the web build of a pusher-js.
// The page is of another origin than the server.

import { after, afterEach } from 'node:test';
import { clients } from '../shared/clients.js';
import { openBrowser } from './browser.js';
import { over } from './cases.js';
import { Stage } from './stage.js';

/** A runner of shared cases. */
export async function inChromium(clientName, { transport, tls } = {}) {
  const client = clients[clientName];
  const stage = await Stage.open({ tls });
  const browser = await openBrowser({ args: tls ? await tls.believedByChromium() : [] });
  let stagePage;
  afterEach(() => stage.closeOwnServers());
  after(async () => {
    await browser.close();
    await stage.close();
  });
  return {
    title: `${client.title} in Chromium${over(transport, tls).title}`,
    abilities: [...client.abilities, ...over(transport, tls).abilities, 'page'],
    async run(file, name) {
      // A new page for each file: a new one for each case would take longer than the cases do.
      if (stagePage?.file !== file) {
        await stagePage?.close();
        stagePage = await openStagePage(browser, client, stage, transport);
        stagePage.file = file;
      }
      await stagePage.run(runInPage, { file, name, clientName, site: stage.site, transport });
    },
  };
}

async function openStagePage(browser, client, stage, transport) {
  const { page, uncaught, close } = await browser.open('/tests/clients/host/blank.html');
  await page.exposeFunction('callStage', stage.call);
  await page.addScriptTag({ url: client.script });
  // pusher-js would fetch it from Pusher's hosts.
  if (transport === 'sockjs') await page.addScriptTag({ url: client.sockjs });
  return {
    close,
    async run(script, argument) {
      const failure = await page.evaluate(script, argument);
      const errors = uncaught.splice(0);
      if (failure) throw new Error(failure);
      if (errors.length > 0) throw new Error(`uncaught in the page: ${errors.join('\n')}`);
    },
  };
}

/** Runs in the page. Gives the failure as text, since an Error loses its stack on the way. */
async function runInPage({ file, name, clientName, site, transport }) {
  const root = '/tests/clients';
  const { cases } = await import(`${root}/cases/${file}`);
  const { clients } = await import(`${root}/shared/clients.js`);
  const { runCase } = await import(`${root}/shared/run-case.js`);
  const { default: Echo } = await import(`${root}/node_modules/laravel-echo/dist/echo.js`);
  const setting = { Pusher: window.Pusher, Echo, client: clients[clientName], site, call: window.callStage, transport };
  try {
    await runCase(cases, name, setting);
    return null;
  } catch (error) {
    return error.message;
  }
}
