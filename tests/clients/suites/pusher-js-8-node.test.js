import { declarePusherCases } from '../host/cases.js';
import { inNode } from '../host/in-node.js';
import { pusherJs8 } from '../shared/clients.js';

await declarePusherCases(pusherJs8, await inNode(pusherJs8));
