// Waiting for things to happen, with a deadline, in Node and in a page alike.

const DEADLINE_MS = 10_000;

/** Keeps what arrives until it is asked for, in order. */
export class Recorder {
  #what;
  #arrived = [];
  #wake = () => {};

  constructor(what) {
    this.#what = what;
  }

  add(entry) {
    this.#arrived.push(entry);
    this.#wake();
  }

  /** The next thing that arrived, or arrives before the deadline. */
  async next(milliseconds = DEADLINE_MS) {
    if (this.#arrived.length === 0) {
      await within(`something on ${this.#what}`, new Promise((resolve) => (this.#wake = resolve)), milliseconds);
    }
    return this.#arrived.shift();
  }

  /** The next thing for which `wanted` holds; what came before it is dropped. */
  async nextWhere(wanted, milliseconds) {
    for (;;) {
      const entry = await this.next(milliseconds);
      if (wanted(entry)) return entry;
    }
  }
}

/** Records every event of a pusher-js channel, user or client as `{event, data}`. */
export function recordAll(emitter, what) {
  const recorder = new Recorder(what);
  emitter.bind_global((event, data) => recorder.add({ event, data }));
  return recorder;
}

/** Records one event of a pusher-js object as `{data, metadata}`. */
export function record(emitter, event) {
  const recorder = new Recorder(event);
  emitter.bind(event, (data, metadata) => recorder.add({ data, metadata }));
  return recorder;
}

/** The server's `{code, message}` in what pusher-js tells of an `error`: on its own, or wrapped. */
export function pusherError({ data }) {
  return (data.error ?? data).data;
}

/** Waits for `promise`; after the deadline fails, saying what did not happen. */
export async function within(what, promise, milliseconds = DEADLINE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${milliseconds} ms in vain for ${what}`)), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Asks again and again until the answer is truthy: for what the other side does unannounced. */
export async function until(what, ask, milliseconds = DEADLINE_MS) {
  const end = Date.now() + milliseconds;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`waited ${milliseconds} ms in vain for ${what}`);
    await pause(25);
  }
}

export function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
