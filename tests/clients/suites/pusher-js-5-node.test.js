import { declarePusherCases } from '../host/cases.js';
import { inNode } from '../host/in-node.js';
import { pusherJs5 } from '../shared/clients.js';

await declarePusherCases(pusherJs5, await inNode(pusherJs5));
