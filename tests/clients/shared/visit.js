// One visit of a page to the inbox, in Node and in a page alike: its own channel, and its user.

import { pusherError, record, recordAll } from './recorder.js';

let client;
let channel;
let user;
let errors;
const toldOfRefusals = [];

/** Opens the page's connection and subscribes its channel, which must succeed. */
export async function visit(Pusher, { key, options, channelName }) {
  client = new Pusher(key, options);
  channel = recordAll(client.subscribe(channelName), channelName);
  const { event, data } = await channel.next();
  if (event !== 'pusher:subscription_succeeded') throw new Error(`${event}: ${JSON.stringify(data)}`);
}

/** Signs the page's user in; gives what the server then says of them. */
export async function signIn() {
  errors = record(client.connection, 'error');
  user = recordAll(client.user, 'the user');
  const messages = record(client.connection, 'message');
  client.signin();
  const { data } = await messages.nextWhere(({ data }) => data.event === 'pusher:signin_success');
  await messages.nextWhere(
    ({ data: { event, channel } }) =>
      event === 'pusher_internal:subscription_succeeded' && channel.startsWith('#server-to-user-'),
  );
  return data.data.user_data;
}

/** What the page's signin is refused with. */
export async function refusedSignIn() {
  const refusals = record(client.user, 'pusher:signin_error');
  client.signin();
  return (await refusals.next()).data.status;
}

/** The next `{event, data}` of the page's channel. */
export const nextOfChannel = () => channel.next();

/** The next `{event, data}` of the page's user. */
export const nextOfUser = () => user.next();

/** The code with which the server ends the page's connection for good. */
export async function ended() {
  const { code } = pusherError(await errors.next());
  if (client.connection.state !== 'disconnected') {
    const states = record(client.connection, 'state_change');
    await states.nextWhere(({ data }) => data.current === 'disconnected');
  }
  return code;
}

/** Tries to subscribe a channel that the page may not join. */
export function tryToJoin(channelName) {
  client.subscribe(channelName).bind_global((event) => toldOfRefusals.push(event));
}

/** What it was told of that. */
export const refusals = () => toldOfRefusals;

export function leave() {
  client?.disconnect();
}
