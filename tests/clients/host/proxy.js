// A proxy in front of a server, as some networks have them: plain requests pass, websocket upgrades do not.

import { once } from 'node:events';
import { request as open } from 'node:http';
import { listen } from './listen.js';

export async function startProxy(port) {
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
  });
  return { ...proxy, answered };
}
