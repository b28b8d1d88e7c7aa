import Echo from 'laravel-echo';
import { declareCases, echoCases } from '../host/cases.js';
import { inNode } from '../host/in-node.js';
import { clients } from '../shared/clients.js';

await declareCases(echoCases, await inNode(clients['pusher-js-8'], { Echo }));
