import test from 'node:test';
import { World } from '../shared/world.js';

/** `test`, for tests that get a world of their own. */
export function testsWithWorld(setting) {
  return (name, run) =>
    test(name, async (t) => {
      const world = new World(setting);
      try {
        await run(world, t);
      } finally {
        world.close();
      }
    });
}
