import { declarePythonTests } from '../host/python.js';

await declarePythonTests('test_pusher');
