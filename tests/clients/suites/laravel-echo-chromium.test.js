import { declareCases, echoCases } from '../host/cases.js';
import { inChromium } from '../host/in-chromium.js';

await declareCases(echoCases, await inChromium('pusher-js-8'));
