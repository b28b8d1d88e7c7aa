import { declareCases, pusherCases } from '../host/cases.js';
import { inNode } from '../host/in-node.js';
import { inChromium } from '../host/in-chromium.js';
import { clients } from '../shared/clients.js';
const { T, C, W } = process.env;
await declareCases(pusherCases, W === 'node' ? await inNode(clients[C], { transport: T }) : await inChromium(C, { transport: T }));
