// Carries what comes on connections, between a client and a server. The balancer starts processes from this module.

import { connect } from 'node:net';
import { answerCalls, now, watchTurns } from './apart.js';

/**
 * For each connection that a server has ended: the server's port, when its last word was read, and when that came at the
 * earliest.
 */
const farewells = [];
const earliest = watchTurns();

answerCalls({ carry, seen: () => farewells });

function carry(client, port) {
  const server = connect({ port, host: '127.0.0.1', noDelay: true });
  for (const [from, to] of [[client, server], [server, client]]) {
    from.pipe(to);
    from.on('error', () => to.destroy());
  }
  const word = () => ({ port, at: now(), earliest: earliest() });
  let last = word();
  server.on('data', () => (last = word()));
  server.on('end', () => farewells.push(last));
}
