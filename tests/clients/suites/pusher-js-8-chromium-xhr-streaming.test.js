import { declareCases, pusherCases } from '../host/cases.js';
import { inChromium } from '../host/in-chromium.js';

await declareCases(pusherCases, await inChromium('pusher-js-8', { transport: 'xhr_streaming' }));
