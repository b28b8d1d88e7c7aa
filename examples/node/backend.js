// A backend that lets pages into the private channel and sends them messages, with Pusher's own library.
//
//     npm ci
//     PUSHER_APP_ID=... PUSHER_APP_KEY=... PUSHER_APP_SECRET=... npm start
//
// The three values are those that `tidings` prints when it starts. Then open http://127.0.0.1:3000.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import Pusher from 'pusher';

const { PUSHER_APP_ID, PUSHER_APP_KEY, PUSHER_APP_SECRET } = process.env;
const missing = Object.entries({ PUSHER_APP_ID, PUSHER_APP_KEY, PUSHER_APP_SECRET }).filter(([, value]) => !value);
if (missing.length > 0) {
  console.error(`set ${missing.map(([name]) => name).join(', ')}: \`tidings\` prints the values when it starts`);
  process.exit(1);
}
const { PUSHER_HOST = '127.0.0.1', PUSHER_PORT = '6001', PORT = '3000' } = process.env;

const pusher = new Pusher({
  appId: PUSHER_APP_ID,
  key: PUSHER_APP_KEY,
  secret: PUSHER_APP_SECRET,
  host: PUSHER_HOST,
  port: PUSHER_PORT,
  useTLS: false,
});

const file = (path) => () => readFile(new URL(path, import.meta.url));
const form = async (request) => new URLSearchParams(await text(request));

const routes = {
  'GET /': file('../page/index.html'),
  'GET /pusher.min.js': file('node_modules/pusher-js/dist/web/pusher.min.js'),
  'GET /settings': () => JSON.stringify({ key: PUSHER_APP_KEY, host: PUSHER_HOST, port: Number(PUSHER_PORT) }),

  // pusher-js asks here before it subscribes. A real app looks at who is asking, and answers 403 to who may not.
  async 'POST /pusher/auth'(request) {
    const asked = await form(request);
    return JSON.stringify(pusher.authorizeChannel(asked.get('socket_id'), asked.get('channel_name')));
  },

  async 'POST /messages'(request) {
    await pusher.trigger('private-messages', 'message', { text: (await form(request)).get('text') });
    return 'sent\n';
  },
};

const server = createServer(async (request, response) => {
  try {
    const route = routes[`${request.method} ${request.url}`];
    if (!route) return response.writeHead(404).end();
    response.end(await route(request));
  } catch (error) {
    console.error(error);
    response.writeHead(500).end();
  }
});
server.listen(Number(PORT), '127.0.0.1', () => console.log(`open http://127.0.0.1:${server.address().port}`));
