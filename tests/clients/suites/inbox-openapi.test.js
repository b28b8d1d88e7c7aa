// Our own API does what its description says, and nothing else: schemathesis makes requests of it, good and bad ones.

import { ok } from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { Inbox } from '../host/inbox.js';
import { Admin } from '../host/own-api.js';
import { here } from '../host/paths.js';

const SEED = 4;
const EXAMPLES = 10;
const OPERATIONS = 37;
const TIMEOUT_MS = 180_000;

const inbox = await Inbox.open();
after(() => inbox.close());

test('every answer is one that the description has', async () => {
  // Of another brand than the one that the key's calls are about, which delete users.
  const visitor = await inbox.visitor({ brand: 'birch' });
  for (let n = 0; n < 10; n += 1) await inbox.notify(visitor, { title: `${n}` });
  const admin = await Admin.open(inbox.server);
  const { stdout, error } = await schemathesis(visitor.token, admin.headers['x-api-key']);
  ok(!error, `${error?.message}\n${stdout}`);
  ok(stdout.includes(`Tested: ${OPERATIONS}\n`), stdout);
});

async function schemathesis(token, key) {
  const args = [
    ['--config-file', join(here, 'schemathesis.toml')],
    ['run', `${inbox.server.url}/inbox/v1/openapi.yaml`],
    ['--checks', 'all', '--warnings', 'off', '--no-color', '--continue-on-failure'],
    ['--seed', SEED, '--max-examples', EXAMPLES],
  ];
  const run = promisify(execFile)(join(here, '.venv/bin/schemathesis'), args.flat().map(String), {
    // It leaves there what it has found out.
    cwd: inbox.server.directory,
    env: { ...process.env, INBOX_TOKEN: token, INBOX_KEY: key, PYTHONDONTWRITEBYTECODE: '1' },
    timeout: TIMEOUT_MS,
    maxBuffer: 2 ** 26,
  });
  return run.catch((error) => ({ stdout: error.stdout, error }));
}
