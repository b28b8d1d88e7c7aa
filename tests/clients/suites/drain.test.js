// A node leaves a pair behind a load balancer: what pusher-js makes of it, some thousand sockets at a time.

import { equal, ok } from 'node:assert/strict';
import { createServer } from 'node:http';
import { connect, createServer as listen } from 'node:net';
import test from 'node:test';
import Pusher from 'pusher-js-8';
import { apps, toml } from '../host/apps.js';
import { library } from '../host/backend.js';
import { Server } from '../host/server.js';
import { within } from '../shared/recorder.js';
