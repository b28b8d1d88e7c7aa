import { same } from '../shared/expect.js';
import { pusherError, record } from '../shared/recorder.js';

// Only browsers tell where a page comes from.
export const needs = 'page';

export const cases = {
  async 'a page of an allowed origin connects'(world) {
    await world.connect({ app: 'here' });
  },

  async 'a page of another origin is refused with 4009'(world) {
    const client = world.open({ app: 'elsewhere' });
    const states = record(client.connection, 'state_change');
    same(pusherError(await record(client.connection, 'error').next()).code, 4009);
    await states.nextWhere(({ data }) => data.current === 'disconnected');
  },
};
