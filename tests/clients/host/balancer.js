// A load balancer as people put before two nodes: it asks /readyz, and sends new connections to the first that is ready.

import { connect, createServer } from 'node:net';
import { pause } from '../shared/recorder.js';

const PROBE_EVERY_MS = 100;

export class Balancer {
  #servers;
  #listener;
  #ready = new Set();
  #streams = new Set();
  #closed = false;
  /** When each connection came, in milliseconds. */
  accepted = [];

  static async start(servers) {
    const balancer = new Balancer();
    balancer.#servers = servers;
    await balancer.#probe();
    balancer.#probing();
    balancer.#listener = createServer({ noDelay: true }, (client) => balancer.#carry(client));
    await new Promise((resolve) => balancer.#listener.listen(0, '127.0.0.1', 4096, resolve));
    return balancer;
  }

  get port() {
    return this.#listener.address().port;
  }

  close() {
    this.#closed = true;
    this.#listener.close();
    for (const stream of this.#streams) stream.destroy();
  }

  #carry(client) {
    this.accepted.push(performance.now());
    const server = this.#servers.find((server) => this.#ready.has(server));
    if (!server) return client.destroy();
    const upstream = connect({ port: server.port, host: '127.0.0.1', noDelay: true });
    for (const [from, to] of [[client, upstream], [upstream, client]]) {
      this.#streams.add(from);
      from.pipe(to);
      from.on('error', () => to.destroy());
      from.on('close', () => this.#streams.delete(from));
    }
  }

  async #probing() {
    while (!this.#closed) {
      await pause(PROBE_EVERY_MS);
      await this.#probe();
    }
  }

  async #probe() {
    for (const server of this.#servers) {
      const ready = await fetch(`${server.url}/readyz`).then(({ ok }) => ok, () => false);
      if (ready) this.#ready.add(server);
      else this.#ready.delete(server);
    }
  }
}
