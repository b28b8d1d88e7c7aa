// Stands in for an app's own backend: authorizes channels and authenticates users, signing with the `pusher` library.
//
//     POST /{app}/channel/{manner}   socket_id, channel_name, user
//     POST /{app}/user/{manner}      socket_id, user
//
// `user` is JSON: {id, user_info, watchlist}, and with `member_by_signin` presence channels get no channel_data.

import Pusher from 'pusher';
import { pause } from '../shared/recorder.js';
import { apps } from './apps.js';
import { body, listen } from './listen.js';

const SLOW_MS = 300;

/** How the endpoint answers: a status and a text, made from the proper answer. */
const manners = {
  sign: (answer) => [200, JSON.stringify(answer)],
  refuse: () => [403, 'Forbidden'],
  rubbish: () => [200, '<html>not JSON</html>'],
  forge: (answer) => [200, JSON.stringify({ ...answer, auth: flipLastDigit(answer.auth) })],
  'another-key': (answer) => [200, JSON.stringify({ ...answer, auth: answer.auth.replace(/^[^:]+/, 'key-of-nobody') })],
  async slow(answer) {
    await pause(SLOW_MS);
    return [200, JSON.stringify(answer)];
  },
};

export function startAuthEndpoint() {
  const libraries = Object.fromEntries(
    Object.entries(apps).map(([name, { id, ...app }]) => [name, new Pusher({ appId: id, host: 'unused', ...app })]),
  );
  return listen(async (request, response) => {
    // The page is of another origin, as an app's page is to its API.
    response.setHeader('Access-Control-Allow-Origin', '*');
    if (request.method === 'OPTIONS') {
      response.setHeader('Access-Control-Allow-Headers', request.headers['access-control-request-headers'] ?? '*');
      return response.writeHead(204).end();
    }
    const [app, kind, manner] = request.url.slice(1).split('/');
    const form = new URLSearchParams(await body(request));
    const sign = { channel: channelAnswer, user: userAnswer }[kind];
    const [status, text] = await manners[manner](sign(libraries[app], form));
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(text);
  });
}

function channelAnswer(library, form) {
  const channel = form.get('channel_name');
  const { id, user_info, member_by_signin } = JSON.parse(form.get('user') ?? '{}');
  const member = channel.startsWith('presence-') && !member_by_signin ? { user_id: id, user_info } : undefined;
  return library.authorizeChannel(form.get('socket_id'), channel, member);
}

function userAnswer(library, form) {
  const { member_by_signin, ...user } = JSON.parse(form.get('user'));
  return library.authenticateUser(form.get('socket_id'), user);
}

function flipLastDigit(auth) {
  return auth.slice(0, -1) + (auth.endsWith('0') ? '1' : '0');
}
