// Runs Python's tests and declares each as a test of node's runner, so that one summary counts them all.

import { execFile } from 'node:child_process';
import { equal, ok } from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { apps } from './apps.js';
import { here, python } from './paths.js';
import { Stage } from './stage.js';

const TIMEOUT_MS = 300_000;

export async function declarePythonTests(module) {
  const stage = await Stage.open();
  after(() => stage.close());
  const { results, error } = await run(module, { ...stage.site, apps });

  describe(module, () => {
    for (const { name, failure } of results) {
      test(name, () => {
        if (failure) throw Object.assign(new Error(failure), { stack: failure });
      });
    }
    test('the run ended well', () => {
      ok(results.length > 0, 'no test was run');
      equal(error, undefined);
    });
  });
}

/** What each test came to, and what went wrong with the whole. */
async function run(module, site) {
  const options = {
    cwd: join(here, 'python'),
    env: { ...process.env, TIDINGS_SITE: JSON.stringify(site), PYTHONDONTWRITEBYTECODE: '1' },
    timeout: TIMEOUT_MS,
  };
  const ended = await promisify(execFile)(python, ['report.py', module], options).catch((error) => error);
  const results = ended.stdout.split('\n').filter(Boolean).map((line) => JSON.parse(line));
  return { results, error: ended instanceof Error ? `${ended.message}\n${ended.stderr}` : undefined };
}
