// Unchanged clients and libraries over TLS, by a certificate of an authority that the test has made.

import { after } from 'node:test';
import { Authority } from '../host/authority.js';
import { declareCases } from '../host/cases.js';
import { inChromium } from '../host/in-chromium.js';
import { inNode } from '../host/in-node.js';
import { clients } from '../shared/clients.js';

const tls = await Authority.open();
await tls.issue();
await tls.believe();
after(() => tls.close());

const [inNode8, inNode5, inChromium8] = await Promise.all([
  inNode(clients['pusher-js-8'], { tls }),
  inNode(clients['pusher-js-5'], { tls }),
  inChromium('pusher-js-8', { tls }),
]);
await declareCases(['public.js', 'private.js', 'presence.js', 'client-events.js', 'users.js'], inNode8);
await declareCases(['public.js', 'private.js'], inNode5);
await declareCases(['public.js', 'private.js'], inChromium8);
