import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** tests/clients */
export const here = dirname(dirname(fileURLToPath(import.meta.url)));
export const repository = join(here, '../..');
export const python = join(here, '.venv/bin/python');
