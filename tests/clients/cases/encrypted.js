import { ok, same } from '../shared/expect.js';
import { record } from '../shared/recorder.js';

export const cases = {
  async 'an event is encrypted on its way and arrives in the clear'(world) {
    const name = world.name('private-encrypted-');
    const client = await world.connect();
    const { seen } = await world.subscribe(client, name);
    const messages = record(client.connection, 'message');
    await world.backend().trigger(name, 'sealed', { text: 'for your eyes' });
    same(await seen.next(), { event: 'sealed', data: { text: 'for your eyes' } });

    const { data } = (await messages.next()).data;
    same(Object.keys(data).sort(), ['ciphertext', 'nonce']);
    ok(!JSON.stringify(data).includes('eyes'), 'the text travelled in the clear');
  },

  async 'all kinds of data arrive as they were'(world) {
    const name = world.name('private-encrypted-');
    const { seen } = await world.subscribe(await world.connect(), name);
    const values = ['text', 'ü 🛎️', [1, null], {}, 12, 'x'.repeat(5000)];
    for (const value of values) await world.backend().trigger(name, 'value', value);
    for (const value of values) same(await seen.next(), { event: 'value', data: value });
  },

  async 'a wrong signature is refused with 401'(world) {
    const client = await world.connect({ auth: 'forge' });
    same((await world.refused(client, world.name('private-encrypted-'))).status, 401);
  },
};
