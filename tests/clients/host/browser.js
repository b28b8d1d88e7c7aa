// Headless Chromium, and pages in it.

import { chromium } from 'playwright-core';
import { serveFiles } from './files.js';

// The flags keep it from looking for hosts on the internet and from needing a sandbox of its own as root.
const LAUNCH = {
  executablePath: '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
};

/** A browser, with further arguments. */
export async function openBrowser({ args = [] } = {}) {
  const launch = { ...LAUNCH, args: [...LAUNCH.args, ...args] };
  const [browser, files] = [await chromium.launch(launch), await serveFiles()];
  return {
    /**
     * Opens `address` (of this repository's files, unless it is a whole URL) in a page with empty storage.
     * What the page asks of an address in `answers` it gets from there: `{path}` or `{body, contentType}`.
     */
    async open(address, { answers = {} } = {}) {
      const context = await browser.newContext();
      for (const [asked, answer] of Object.entries(answers))
        await context.route(asked, (route) => route.fulfill(answer));
      const page = await context.newPage();
      const uncaught = [];
      page.on('pageerror', (error) => uncaught.push(error.stack));
      await page.goto(new URL(address, files.url).href);
      return { page, uncaught, close: () => context.close() };
    },
    async close() {
      await browser.close();
      files.close();
    },
  };
}
