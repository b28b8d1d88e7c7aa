// HTTP servers of the tests' own, on free ports of the loopback.

import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';

/**
 * Serves `handle`, whose rejection becomes a 500, on `port` or any free one, and over TLS with Node's options in `tls`.
 */
export async function listen(handle, { port = 0, tls } = {}) {
  const answer = (request, response) => {
    handle(request, response).catch((error) => response.writeHead(500).end(String(error.stack)));
  };
  const server = tls === undefined ? createServer(answer) : createTlsServer(tls, answer);
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http${tls === undefined ? '' : 's'}://127.0.0.1:${server.address().port}`,
    port: server.address().port,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

export async function body(request) {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += chunk;
  return text;
}
