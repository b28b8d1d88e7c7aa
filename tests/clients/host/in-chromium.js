// Runs cases in a page of headless Chromium, with the web build of a pusher-js. The page is of another origin than the server.

import { after, afterEach } from 'node:test';
import { clients } from '../shared/clients.js';
import { openBrowser } from './browser.js';
import { Stage } from './stage.js';

export async function inChromium(clientName) {
  const stage = await Stage.open();
  const browser = await openBrowser();
  afterEach(() => stage.closeOwnServers());
  after(async () => {
    await browser.close();
    await stage.close();
  });
  return (file, name) =>
    browser.withPage('/tests/clients/host/blank.html', async (page) => {
      await page.exposeFunction('callStage', stage.call);
      await page.addScriptTag({ url: clients[clientName].script });
      const failure = await page.evaluate(runInPage, { file, name, clientName, site: stage.site });
      if (failure) throw new Error(failure);
    });
}

/** Runs in the page. Gives the failure as text, since an Error loses its stack on the way. */
async function runInPage({ file, name, clientName, site }) {
  const root = '/tests/clients';
  const { cases } = await import(`${root}/cases/${file}`);
  const { clients } = await import(`${root}/shared/clients.js`);
  const { runCase } = await import(`${root}/shared/run-case.js`);
  const { default: Echo } = await import(`${root}/node_modules/laravel-echo/dist/echo.js`);
  const setting = { Pusher: window.Pusher, Echo, client: clients[clientName], site, call: window.callStage };
  try {
    await runCase(cases, name, setting);
    return null;
  } catch (error) {
    return error.message;
  }
}
