// The fallbacks in the clients that no suite of their own runs over them: what they have in common with those is most.

import { declareCases } from '../host/cases.js';
import { inChromium } from '../host/in-chromium.js';
import { inNode } from '../host/in-node.js';
import { clients } from '../shared/clients.js';

const files = ['connecting.js', 'public.js', 'client-events.js'];
const runners = [
  await inNode(clients['pusher-js-8'], { transport: 'xhr_polling' }),
  await inNode(clients['pusher-js-5'], { transport: 'xhr_streaming' }),
  await inChromium('pusher-js-5', { transport: 'xhr_polling' }),
];
await Promise.all(runners.map((runner) => declareCases(files, runner)));
