// A load balancer as people put before two nodes: it asks /readyz, and sends new connections to the first that is ready.
// It is several processes, the first of which `Apart` starts from this module. That one takes connections and does no
// more: libuv takes one in each turn of the event loop, so who has much to carry is late to take them.

import { once } from 'node:events';
import { createServer } from 'node:net';
import { pause } from '../shared/recorder.js';
import { Apart, answerCalls, now } from './apart.js';

const PROBE_EVERY_MS = 100;
const CARRIERS = 2;
// As many as Linux lets wait to be accepted (`net.core.somaxconn`).
const BACKLOG = 4096;

let servers;
const ready = new Set();
const carriers = Array.from({ length: CARRIERS }, () => new Apart('host/carrier.js'));
const accepted = [];

answerCalls({ start, seen });

/** Begins to carry to the servers on these ports; gives its own port. */
async function start(ports) {
  servers = ports;
  await probe();
  probing();
  const listener = createServer({ noDelay: true, pauseOnConnect: true }, accept);
  listener.listen({ port: 0, host: '127.0.0.1', backlog: BACKLOG });
  await once(listener, 'listening');
  return listener.address().port;
}

/** When each connection came, and what the carriers noted of those that ended. */
async function seen() {
  const farewells = (await Promise.all(carriers.map((carrier) => carrier.call('seen')))).flat();
  return { accepted, farewells };
}

function accept(client) {
  accepted.push(now());
  const server = servers.find((server) => ready.has(server));
  if (!server) return client.destroy();
  carriers[accepted.length % CARRIERS].hand('carry', client, server);
}

async function probing() {
  for (;;) {
    await pause(PROBE_EVERY_MS);
    await probe();
  }
}

async function probe() {
  for (const server of servers) {
    const found = await fetch(`http://127.0.0.1:${server}/readyz`).then(({ ok }) => ok, () => false);
    if (found) ready.add(server);
    else ready.delete(server);
  }
}
