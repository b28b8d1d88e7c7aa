// An app's backend as webhooks see it: checks each request with the `pusher` npm library and notes its events.

import { equal, ok } from 'node:assert/strict';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { once } from 'node:events';
import { apps } from './apps.js';
import { library } from './backend.js';
import { body } from './listen.js';
import { within } from '../shared/recorder.js';

/** What a receiver does with a request, besides answering with a status. */
const manners = {
  ok: (response) => response.end(),
  hang: () => {},
  endless(response) {
    const more = () => response.writable && response.write(' '.repeat(65_536), more);
    more();
  },
};

export class Receiver {
  #app;
  #tls;
  #server;
  #library;
  #manner = manners.ok;
  #awaited = [];
  /** Of requests that were taken: `{headers, body, events}`. */
  requests = [];
  /** How often each event was taken, by its id, in the order of the first time. */
  taken = new Map();
  /** The events, each once. */
  events = [];
  /** Requests of every kind, also those that were not taken. */
  asked = 0;

  /** With `{cert, key}` it speaks TLS. */
  static async start(app, tls) {
    const receiver = new Receiver();
    receiver.#app = app;
    receiver.#tls = tls;
    receiver.#library = library(app, 0);
    await receiver.up();
    return receiver;
  }

  get url() {
    return `http${this.#tls === undefined ? '' : 's'}://127.0.0.1:${this.port}/webhooks`;
  }

  /** Answers with this status from now on. */
  status(status, headers = {}) {
    this.#manner = (response) => response.writeHead(status, headers).end();
  }

  /** Takes all again, or is `hang`ing or `endless`. */
  behave(manner) {
    this.#manner = manners[manner];
  }

  /** Takes all, but only after a while. */
  slow(milliseconds) {
    this.#manner = (response) => setTimeout(() => response.end(), milliseconds);
  }

  /** Nobody listens at its address any more. */
  down() {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async up() {
    const handle = (request, response) => this.#handle(request, response);
    this.#server = this.#tls === undefined ? createServer(handle) : createTlsServer(this.#tls, handle);
    this.#server.listen(this.port ?? 0, '127.0.0.1');
    await once(this.#server, 'listening');
    this.port = this.#server.address().port;
  }

  /** Shows another certificate from now on. */
  show(tls) {
    this.#server.setSecureContext(tls);
  }

  /** Waits until it has taken so many different events. */
  has(count, milliseconds) {
    return this.#until(`event ${count}`, () => this.events.length >= count, milliseconds);
  }

  /** Waits until it has been asked so many times more. */
  isAsked(times, milliseconds) {
    const wanted = this.asked + times;
    return this.#until('a request', () => this.asked >= wanted, milliseconds);
  }

  async #until(what, isSo, milliseconds) {
    if (isSo()) return;
    const then = new Promise((resolve) => this.#awaited.push({ isSo, resolve }));
    await within(what, then, milliseconds);
  }

  async #handle(request, response) {
    const text = await body(request);
    this.asked += 1;
    const webhook = this.#library.webhook({ headers: request.headers, rawBody: text });
    ok(webhook.isValid(), 'the library accepts the request');
    equal(request.headers['x-pusher-key'], apps[this.#app].key);
    const manner = this.#manner;
    manner(response);
    // What was not answered well was not taken.
    const isTaken = manner === manners.ok || manner === manners.endless || (response.statusCode < 300 && manner !== manners.hang);
    if (isTaken) this.#take(request.headers, text, webhook.getEvents());
    this.#awaited = this.#awaited.filter(({ isSo, resolve }) => !isSo() || resolve());
  }

  #take(headers, text, events) {
    this.requests.push({ headers, body: text, events });
    for (const event of events) {
      const times = this.taken.get(event.id) ?? 0;
      this.taken.set(event.id, times + 1);
      if (times === 0) this.events.push(event);
    }
  }
}
