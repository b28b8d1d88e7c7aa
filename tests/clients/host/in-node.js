// Runs clients in this process, with the Node build of a pusher-js.

import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, afterEach } from 'node:test';
import { runCase } from '../shared/run-case.js';
import { over } from './cases.js';
import { here } from './paths.js';
import { Stage } from './stage.js';

const require = createRequire(import.meta.url);

/** A runner of shared cases. */
export async function inNode(client, { Echo, transport, tls } = {}) {
  const setting = await openSetting(client, { Echo, transport, tls });
  return {
    title: `${client.title} in Node${over(transport, tls).title}`,
    abilities: [...client.abilities, ...over(transport, tls).abilities],
    async run(file, name) {
      const { cases } = await import(join(here, 'cases', file));
      await runCase(cases, name, setting);
    },
  };
}

/** What a `World` is made of; its server ends with the test file. */
export async function openSetting(client, { Echo, transport, tls } = {}) {
  const stage = await Stage.open({ tls });
  afterEach(() => stage.closeOwnServers());
  after(() => stage.close());
  return { Pusher: require(client.package), Echo, client, site: stage.site, call: stage.call, transport };
}
