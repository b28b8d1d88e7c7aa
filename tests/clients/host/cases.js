// Declares the shared cases as tests of one client, in whatever place `runCase` runs them.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { here } from './paths.js';

const ECHO = 'echo.js';

/** All cases that concern pusher-js `client`, each as a test. */
export async function declarePusherCases(client, runCase) {
  const files = readdirSync(join(here, 'cases')).filter((file) => file !== ECHO);
  for (const file of files) await declareFile(file, client, runCase);
}

export function declareEchoCases(client, runCase) {
  return declareFile(ECHO, client, runCase);
}

async function declareFile(file, client, runCase) {
  const { cases, needs } = await import(join(here, 'cases', file));
  if (needs !== undefined && !client.abilities.includes(needs)) return;
  describe(file, () => {
    for (const name of Object.keys(cases)) test(name, () => runCase(file, name));
  });
}
