import { World } from './world.js';

/** Runs one case of a module; a failure also tells what pusher-js has logged. */
export async function runCase(cases, name, setting) {
  const world = new World(setting);
  let failure;
  try {
    await cases[name](world);
  } catch (error) {
    failure = error;
  }
  const log = world.close();
  if (failure) throw new Error(`${failure.stack}\n--- last lines of pusher-js\n${log.slice(-12).join('\n')}`);
}
