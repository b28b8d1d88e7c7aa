import { declarePusherCases } from '../host/cases.js';
import { inChromium } from '../host/in-chromium.js';
import { clients } from '../shared/clients.js';

await declarePusherCases(clients['pusher-js-5'], await inChromium('pusher-js-5'));
