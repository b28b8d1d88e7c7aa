// Serves this repository's files to pages, on an origin of their own.

import { readFile } from 'node:fs/promises';
import { extname, join, normalize, sep } from 'node:path';
import { listen } from './listen.js';
import { repository } from './paths.js';

const types = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript', '.css': 'text/css' };

export function serveFiles() {
  return listen(async (request, response) => {
    const path = normalize(join(repository, decodeURIComponent(new URL(request.url, 'http://unused').pathname)));
    const text = path.startsWith(repository + sep) ? await readFile(path).catch(() => null) : null;
    if (text === null) return response.writeHead(404).end(`no file ${path}`);
    response.writeHead(200, { 'Content-Type': `${types[extname(path)] ?? 'text/plain'}; charset=utf-8` }).end(text);
  });
}
