// Our own API does what its description says, and nothing else: schemathesis makes requests of it, good and bad ones.

import { ok } from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, test } from 'node:test';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { installationKey, login, notify, OwnServer } from '../host/own-api.js';
import { here } from '../host/paths.js';

const SEED = 4;
const EXAMPLES = 10;
const TIMEOUT_MS = 120_000;

const server = await OwnServer.start();
after(() => server.stop());

test('every answer is one that the description has', async () => {
  // The page's user is of another brand than the one that the key's calls are about: these delete users.
  const visitor = await login(server, 'birch');
  for (let n = 0; n < 5; n += 1) await notify(server, visitor, { title: `${n}` });
  const { stdout, error } = await schemathesis({ INBOX_TOKEN: visitor.token, INBOX_KEY: await installationKey(server) });
  ok(!error, `${error?.message}\n${stdout}`);
  const tested = /Tested: (\d+)/.exec(stdout);
  ok(Number(tested?.[1]) >= 33, stdout);
});

async function schemathesis(variables) {
  const options = [
    ['--config-file', join(here, 'schemathesis.toml')],
    ['run', `${server.url}/inbox/v1/openapi.yaml`],
    ['--checks', 'all', '--warnings', 'off', '--no-color', '--continue-on-failure'],
    ['--seed', SEED, '--max-examples', EXAMPLES],
  ];
  const child = promisify(execFile)(join(here, '.venv/bin/schemathesis'), options.flat().map(String), {
    // It leaves what it has found out in the folder where it runs.
    cwd: server.directory,
    env: { ...process.env, ...variables, PYTHONDONTWRITEBYTECODE: '1' },
    timeout: TIMEOUT_MS,
    maxBuffer: 2 ** 26,
  });
  return child.catch((error) => ({ stdout: error.stdout, error }));
}
