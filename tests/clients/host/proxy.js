// A proxy in front of a server, as some networks have them: plain requests pass, websocket upgrades do not. Where the
// server speaks TLS it does too, and reads what it passes on, as an office's proxy with an authority of its own.

import { once } from 'node:events';
import { request as openPlain } from 'node:http';
import { request as openTls } from 'node:https';
import { listen } from './listen.js';

/** Stands before `port`; with `{cert, key}` in `tls` both sides speak it. */
export async function startProxy(port, tls) {
  const open = tls === undefined ? openPlain : openTls;
  const answered = [];
  const proxy = await listen(async (request, response) => {
    const { method, url, headers } = request;
    if (headers.upgrade) return response.writeHead(502).end();
    const onward = open({ host: '127.0.0.1', port, method, path: url, headers });
    response.on('close', () => onward.destroy());
    // Who breaks off gets no answer.
    onward.on('error', () => response.destroy());
    request.pipe(onward);
    const [answer] = await once(onward, 'response');
    answered.push({ url, status: answer.statusCode });
    response.writeHead(answer.statusCode, answer.headers);
    response.flushHeaders();
    answer.pipe(response);
  }, { tls });
  return { ...proxy, answered };
}
