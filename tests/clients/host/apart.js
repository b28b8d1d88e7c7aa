// Modules that run in processes of their own, so that what one has to do does not make another late.

import { fork } from 'node:child_process';
import { join } from 'node:path';
import { here } from './paths.js';

/** Milliseconds on the one clock of this machine; `performance.now()` begins anew in each process. */
export function now() {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** The process of a module, as its starter sees it. */
export class Apart {
  #child;
  #calls = new Map();
  #called = 0;

  /** Starts a process for the module at this path below tests/clients, which is to call `answerCalls`. */
  constructor(module) {
    this.#child = fork(join(here, module));
    this.#child.on('message', ({ call, result, error }) => {
      const { resolve, reject } = this.#calls.get(call);
      this.#calls.delete(call);
      if (error === undefined) resolve(result);
      else reject(new Error(`in ${module}: ${error}`));
    });
    this.#child.on('exit', (code, signal) => {
      for (const { reject } of this.#calls.values()) reject(new Error(`${module} ended with ${code ?? signal}`));
    });
  }

  /** What the module's function of this name gives. Arguments and result are what JSON can say. */
  call(name, ...args) {
    return new Promise((resolve, reject) => {
      this.#called += 1;
      this.#calls.set(this.#called, { resolve, reject });
      this.#child.send({ call: this.#called, name, args });
    });
  }

  /** Hands a connection over to the module's function of this name, and does not wait for it. */
  hand(name, connection, ...args) {
    this.#child.send({ name, args }, connection);
  }

  /** Ends the process, whatever it is about. */
  end() {
    this.#child.kill('SIGKILL');
  }
}

/** In a process of its own: serves these functions to its starter, and ends with it. */
export function answerCalls(functions) {
  process.on('message', async ({ call, name, args }, connection) => {
    if (call === undefined) {
      // Node hands over nothing where the client has gone meanwhile.
      if (connection) functions[name](connection, ...args);
      return;
    }
    try {
      process.send({ call, result: await functions[name](...args) });
    } catch (error) {
      process.send({ call, error: error.stack });
    }
  });
  process.on('disconnect', () => process.exit());
}

/**
 * Begins to watch this process's event loop. Gives a function that tells the earliest time at which what is read now can
 * have come: in the turn before this one it was not there, or it would have been read.
 */
export function watchTurns() {
  let lastEnd = now();
  let endBefore = lastEnd;
  setInterval(() => setImmediate(() => ([endBefore, lastEnd] = [lastEnd, now()])), 10);
  return () => endBefore;
}
