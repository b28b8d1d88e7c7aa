// The fallbacks over TLS, by a certificate of an authority that the test has made: what a session and a TLS session have to
// do with each other. What they say is the business of the suites without TLS.

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

const files = ['connecting.js', 'public.js', 'large.js', 'client-events.js', 'reconnecting.js'];
const runners = await Promise.all([
  ...['xhr_streaming', 'xhr_polling'].map((transport) => inNode(clients['pusher-js-8'], { tls, transport })),
  ...['xhr_streaming', 'xhr_polling', 'sockjs'].map((transport) => inChromium('pusher-js-8', { tls, transport })),
]);
for (const runner of runners) await declareCases(files, runner);
// A proxy that breaks upgrades; pusher-js finds the fallback by itself.
await declareCases(['blocked.js'], await inChromium('pusher-js-8', { tls }));
await declareCases(['blocked.js'], await inNode(clients['pusher-js-8'], { tls }));
