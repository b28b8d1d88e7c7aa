// What pages and operators ask of the server in its own API.

import { equal, match } from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { until } from '../shared/recorder.js';
import { brands } from './brands.js';
import { binary, environment } from './server.js';

/** Calls and gives `{status, headers, body}`, after what holds for every answer of this API. */
async function call(method, url, { body, headers = {} } = {}) {
  const text = typeof body === 'object' ? JSON.stringify(body) : body;
  const response = await fetch(url, { method, headers, body: text, redirect: 'manual' });
  const answer = await response.text();
  const { status } = response;
  if (status === 204) return { status, headers: response.headers, body: undefined };
  const type = status < 400 ? /^application\/json$/ : /^application\/problem\+json$/;
  match(response.headers.get('content-type') ?? '', type, `${method} ${url}: ${answer}`);
  const json = JSON.parse(answer);
  if (status >= 400) {
    equal(Object.keys(json).sort().join(), 'detail,status,title,type', answer);
    equal(json.status, status, answer);
  }
  return { status, headers: response.headers, body: json };
}

/** `/inbox/v1`, as a page of this visitor asks it. */
export class Page {
  /** `token` null sends none. */
  constructor(visitor, { token = visitor.token, mount = '' } = {}) {
    this.url = `${visitor.server.url}${mount}/inbox/v1`;
    this.headers = token === null ? {} : { Authorization: `Bearer ${token}` };
  }

  ask(method, path, body) {
    return call(method, this.url + path, { headers: this.headers, body });
  }

  async askWell(...args) {
    const { status, body } = await this.ask(...args);
    equal(status, 200, JSON.stringify(body));
    return body;
  }

  list(query = '') {
    return this.askWell('GET', `/notifications?${query}`);
  }

  async titles(query) {
    return (await this.list(query)).notifications.map(({ title }) => title);
  }

  counts() {
    return this.askWell('GET', '/counts');
  }
}

/** `/inbox-admin/v1`, as the holder of this key asks it. */
export class Admin {
  /** `key` null sends none. */
  constructor(server, key, { mount = '' } = {}) {
    this.url = `${server.url}${mount}/inbox-admin/v1`;
    this.headers = key === null ? {} : { 'x-api-key': key };
  }

  /** With a new installation's key, which the running server knows. */
  static async open(server) {
    const admin = new Admin(server, await tidings(server, ['brands', 'key', '--all']));
    await until('the key to be known', async () => (await admin.ask('GET', '/brands')).status === 200);
    return admin;
  }

  /** With the key of a brand's senders. */
  static of(server, brand, options) {
    return new Admin(server, brands[brand].apiKey, options);
  }

  ask(method, path, body, headers = {}) {
    return call(method, this.url + path, { headers: { ...this.headers, ...headers }, body });
  }

  async askWell(method, path, body, headers) {
    const answer = await this.ask(method, path, body, headers);
    equal(Math.floor(answer.status / 100), 2, JSON.stringify(answer.body));
    return answer.body;
  }

  /** The results of sending now. */
  async send(users, content, headers) {
    return (await this.askWell('POST', '/notifications', { users, content }, headers)).results;
  }

  async broadcastDone(id) {
    return until(`broadcast ${id} to be done`, async () => {
      const broadcast = await this.askWell('GET', `/broadcasts/${id}`);
      return broadcast.state === 'done' && broadcast;
    });
  }
}

/** Runs the command line beside the server; gives what it prints. */
async function tidings(server, args) {
  const options = { cwd: server.directory, env: environment() };
  const config = ['--config', join(server.directory, 'tidings.toml')];
  return (await promisify(execFile)(binary, [...args, ...config], options)).stdout.trim();
}
