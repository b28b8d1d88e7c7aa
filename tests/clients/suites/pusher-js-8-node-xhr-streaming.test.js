import { declareCases, pusherCases } from '../host/cases.js';
import { inNode } from '../host/in-node.js';
import { clients } from '../shared/clients.js';

await declareCases(pusherCases, await inNode(clients['pusher-js-8'], { transport: 'xhr_streaming' }));
