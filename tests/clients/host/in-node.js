// Runs cases in this process, with the Node build of a pusher-js.

import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, afterEach } from 'node:test';
import { runCase } from '../shared/run-case.js';
import { here } from './paths.js';
import { Stage } from './stage.js';

const require = createRequire(import.meta.url);

export async function inNode(client, { Echo } = {}) {
  const Pusher = require(client.package);
  const stage = await Stage.open();
  afterEach(() => stage.closeOwnServers());
  after(() => stage.close());
  return async (file, name) => {
    const { cases } = await import(join(here, 'cases', file));
    await runCase(cases, name, { Pusher, Echo, client, site: stage.site, call: stage.call });
  };
}
