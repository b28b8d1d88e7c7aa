// Trouble with the server's database, made from outside while the server runs.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { within } from '../shared/recorder.js';
import { python } from './paths.js';

/** A launcher for a server whose writes fail, instead of ending it, while `Storage.whileFull` limits them. */
export const WITHOUT_SIGXFSZ = ['bash', '-c', `trap '' XFSZ; exec "$@"`, 'bash'];

export class Storage {
  constructor(server) {
    this.server = server;
    this.file = join(server.directory, 'tidings-data/tidings.db');
  }

  /** While `run` runs, a notification with this title cannot be stored; gives what `run` gives. */
  async whileRefusing(title, run) {
    await this.#execute(`CREATE TRIGGER refused BEFORE INSERT ON notifications WHEN NEW.title = '${title}'
      BEGIN SELECT RAISE(ABORT, 'refused by the test'); END`);
    try {
      return await run();
    } finally {
      await this.#execute('DROP TRIGGER refused');
    }
  }

  /** While `run` runs, nobody else can write. */
  async whileLocked(run) {
    const script = `
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], timeout=10, isolation_level=None)
database.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
`;
    const child = spawn(python, ['-c', script, this.file], { stdio: ['pipe', 'pipe', 'inherit'] });
    const exit = once(child, 'exit');
    try {
      await within('the lock', once(createInterface({ input: child.stdout }), 'line'));
      return await run();
    } finally {
      child.stdin.end();
      await exit;
    }
  }

  /** While `run` runs, the server, started `WITHOUT_SIGXFSZ`, cannot write to any file, as on a full disk. */
  async whileFull(run) {
    await this.#limit('0');
    try {
      return await run();
    } finally {
      await this.#limit('hard');
    }
  }

  /** All bytes of the database, also those that are only in its log yet. */
  async bytes() {
    const files = ['', '-wal'].map((suffix) => readFile(this.file + suffix).catch(() => Buffer.alloc(0)));
    return Buffer.concat(await Promise.all(files));
  }

  /** How many notifications with this title there are, and how many users have one. */
  async stored(title) {
    const rows = await this.#execute(
      `SELECT count(*), count(DISTINCT user_id) FROM notifications WHERE title = '${title}'`,
    );
    const [[notifications, users]] = rows;
    return { notifications, users };
  }

  /** Gives the rows that the statement answers. */
  async #execute(sql) {
    const script = `
import json, sqlite3, sys
database = sqlite3.connect(sys.argv[1], timeout=10)
print(json.dumps(database.execute(sys.argv[2]).fetchall()))
database.commit()
`;
    return JSON.parse((await promisify(execFile)(python, ['-c', script, this.file, sql])).stdout);
  }

  #limit(soft) {
    const script = `
import resource, sys
pid, soft = int(sys.argv[1]), sys.argv[2]
_, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if soft == "hard" else int(soft), hard))
`;
    return promisify(execFile)(python, ['-c', script, String(this.server.pid), soft]);
  }
}
