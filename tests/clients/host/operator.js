// Stands in for an operator's login check: `POST /authenticate` with `{"sid": "…"}`, answered `{"user_id": 123}`.

import { pause } from '../shared/recorder.js';
import { body, listen } from './listen.js';

/** How a check can go, besides the answers that `Operator.status` and `Operator.says` make. */
const manners = {
  hang: () => {},
  drop: (response) => response.destroy(),
  dropMidway(response) {
    response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '100' });
    response.write('{"user_id":', () => response.destroy());
  },
  endless(response) {
    response.writeHead(200, { 'Content-Type': 'application/json' });
    const more = () => response.writable && response.write(' '.repeat(65_536), more);
    more();
  },
};

export class Operator {
  #tls;
  #server;
  #manners = new Map();
  /** `{method, path, headers, body}` of every request. */
  requests = [];

  /** With `{cert, key}` it speaks TLS. */
  static async start(tls) {
    const operator = new Operator();
    operator.#tls = tls;
    await operator.up();
    return operator;
  }

  get url() {
    return `${this.#server.url}/authenticate`;
  }

  /** From now on `sid` is that of `userId`, which is answered in the type it has here. */
  accept(sid, userId) {
    this.says(sid, JSON.stringify({ user_id: userId }));
  }

  /** Answers `sid` with status 200 and `text`. */
  says(sid, text) {
    this.#answer(sid, (response) => response.writeHead(200, { 'Content-Type': 'application/json' }).end(text));
  }

  /** Answers `sid` with `status`, though with the body of a success. */
  status(sid, status, headers = {}) {
    this.#answer(sid, (response) => response.writeHead(status, headers).end('{"user_id":"nobody"}'));
  }

  /** Answers `sid` well, but only after a while. */
  acceptSlowly(sid, userId, milliseconds) {
    this.#answer(sid, async (response) => {
      await pause(milliseconds);
      response.end(JSON.stringify({ user_id: userId }));
    });
  }

  /** Has checks of `sid` `hang`, `drop`, `dropMidway` or be answered by something `endless`. */
  fail(sid, manner) {
    this.#answer(sid, manners[manner]);
  }

  #answer(sid, manner) {
    this.#manners.set(sid, manner);
  }

  /** How often it was asked about `sid`. */
  asked(sid) {
    return this.requests.filter(({ body }) => JSON.parse(body).sid === sid).length;
  }

  /** Nobody listens at its address any more. */
  down() {
    this.#server.close();
  }

  /** Listens, after `down` at the address it had. */
  async up() {
    this.#server = await listen((request, response) => this.#handle(request, response), {
      port: this.#server?.port,
      tls: this.#tls,
    });
  }

  async #handle(request, response) {
    const text = await body(request);
    const { method, url: path, headers } = request;
    this.requests.push({ method, path, headers, body: text });
    const manner = this.#manners.get(JSON.parse(text).sid);
    if (manner === undefined) return response.writeHead(401).end();
    await manner(response);
  }
}
