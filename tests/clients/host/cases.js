// Declares the shared cases as tests, in whatever place a runner runs them.

import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, test } from 'node:test';
import { here } from './paths.js';

const TIMEOUT_MS = 120_000;

const directory = join(here, 'cases');
export const echoCases = ['echo.js'];
export const pusherCases = readdirSync(directory).filter((file) => !echoCases.includes(file));

/** What a runner's title and abilities say of how its clients connect: by websocket, unless a transport is named. */
export function over(transport, tls) {
  const title = `${transport === undefined ? '' : ` over ${transport}`}${tls ? ' over TLS' : ''}`;
  if (transport !== undefined) return { title, abilities: [] };
  return { title, abilities: ['pings', 'proxy'] };
}

/** Declares each case of `files` that the runner's client can do. */
export async function declareCases(files, { title, abilities, run }) {
  // Loaded first: node's runner wants tests declared in one go, or it may think that all have been.
  const modules = await Promise.all(files.map(async (file) => ({ file, ...(await import(join(directory, file))) })));
  for (const { file, cases, needs } of modules) {
    if (needs !== undefined && !abilities.includes(needs)) continue;
    describe(`${title}: ${basename(file, '.js')}`, () => {
      for (const name of Object.keys(cases)) test(name, { timeout: TIMEOUT_MS }, () => run(file, name));
    });
  }
}
