// Declares the shared cases as tests, in whatever place a runner runs them.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { here } from './paths.js';

const TIMEOUT_MS = 120_000;

const directory = join(here, 'cases');
export const echoCases = ['echo.js'];
export const pusherCases = readdirSync(directory).filter((file) => !echoCases.includes(file));

/** Declares each case of `files` that the runner's client can do. */
export async function declareCases(files, { abilities, run }) {
  for (const file of files) {
    const { cases, needs } = await import(join(directory, file));
    if (needs !== undefined && !abilities.includes(needs)) continue;
    describe(file, () => {
      for (const name of Object.keys(cases)) test(name, { timeout: TIMEOUT_MS }, () => run(file, name));
    });
  }
}
