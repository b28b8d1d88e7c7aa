import { same } from '../shared/expect.js';
import { record } from '../shared/recorder.js';

// The fallbacks' pings and pongs are no messages: blocked.js sees to them.
export const needs = 'pings';

export const cases = {
  async 'an idle client pings and keeps its connection'(world) {
    const client = world.open({ activityTimeout: 300, pongTimeout: 5000 });
    const messages = record(client.connection, 'message');
    await world.connected(client);
    const socketId = client.connection.socket_id;
    for (let pongs = 0; pongs < 2; pongs += 1) same((await messages.next()).data.event, 'pusher:pong');
    same(client.connection.socket_id, socketId, 'socket id');
  },
};
