// Starts the built server, waits until it listens, and stops it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { within } from '../shared/recorder.js';
import { repository } from './paths.js';

export const binary = process.env.TIDINGS_BIN ?? join(repository, 'target/release/tidings');

const running = new Set();
// A test file that dies must not leave its servers behind.
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));

export class Server {
  #child;
  #args;
  #variables;
  #launcher;
  log = [];

  /**
   * Starts a server with the given TOML, or without any configuration, and with `variables` of the environment.
   * `launcher` is a command that becomes the server's.
   */
  static async start({ toml, variables = {}, launcher = [] } = {}) {
    const server = new Server();
    server.#variables = variables;
    server.#launcher = launcher;
    // Where it runs, and so where it keeps its data.
    server.directory = await mkdtemp(join(tmpdir(), 'tidings-clients-'));
    server.#args = [];
    if (toml !== undefined) {
      const file = join(server.directory, 'tidings.toml');
      await writeFile(file, toml);
      server.#args.push('serve', '--config', file);
    }
    await server.#run(0);
    return server;
  }

  /** Starts it again on the port it had. */
  async restart() {
    await this.#run(this.port);
  }

  /** Kills it without a word to its clients. */
  async crash() {
    await this.#end('SIGKILL');
  }

  /** Has it say farewell to its clients and end; gives its exit code. */
  async quit(milliseconds) {
    return this.#end('SIGTERM', milliseconds);
  }

  async stop() {
    await this.quit();
    await rm(this.directory, { recursive: true });
  }

  get pid() {
    return this.#child.pid;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async #run(port) {
    const [program, ...args] = [...this.#launcher, binary, ...this.#args, '--port', String(port)];
    const child = spawn(program, args, {
      cwd: this.directory,
      env: { ...environment(), ...this.#variables },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(child);
    this.#child = child;
    const listening = new Promise((resolve, reject) => {
      const read = (line) => {
        this.log.push(line);
        const found = /listening on https?:\/\/[0-9.]+:(\d+)(?: and https:\/\/[0-9.]+:(\d+))?/.exec(line);
        if (found) resolve(found.slice(1).map(Number));
      };
      createInterface({ input: child.stdout }).on('line', read);
      createInterface({ input: child.stderr }).on('line', read);
      child.on('error', reject);
      child.on('exit', (code) => reject(new Error(`${binary} ended with ${code}:\n${this.log.join('\n')}`)));
    });
    [this.port, this.tlsPort] = await within('the server to listen', listening);
  }

  async #end(signal, milliseconds) {
    const child = this.#child;
    if (child.exitCode === null && child.signalCode === null) {
      const exit = once(child, 'exit');
      child.kill(signal);
      await within(`the server to end on ${signal}`, exit, milliseconds);
    }
    running.delete(child);
    return child.exitCode;
  }
}

// The tests say by flags and files what the server is to do; the caller's variables must not.
export function environment() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^((TIDINGS|PUSHER|REVERB|SOKETI|SOCKUDO)_|PORT$)/.test(name)));
}
