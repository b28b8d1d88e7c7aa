// What a CRM front-end page asks of the server, without a page: one `Visitor` is one visit of a person.

import { equal, match, ok } from 'node:assert/strict';
import { createRequire } from 'node:module';
import { recordAll } from '../shared/recorder.js';
import { apps } from './apps.js';
import { brands } from './brands.js';

const Pusher = createRequire(import.meta.url)('pusher-js-5');

export const FORM = 'application/x-www-form-urlencoded; charset=UTF-8';

/** The events that tell of a new notification. */
export const KINDS = ['message', 'shoutout', 'inbox'];

/** Calls and gives `{status, headers, text, body}`, after what holds for every answer of this API. */
export async function call(url, options = {}) {
  const response = await fetch(url, { redirect: 'manual', ...options });
  const text = await response.text();
  match(
    response.headers.get('content-type') ?? '',
    /^application\/json\b/,
    `${options.method ?? 'GET'} ${url}: ${text}`,
  );
  return { status: response.status, headers: response.headers, text, body: JSON.parse(text) };
}

export class Visitor {
  #clients = [];

  /** `fusionUrl` is what the config call gives a page; `person` is the operator's number of who has this `sid`. */
  constructor({ server, brand, sid, person }) {
    Object.assign(this, { server, brand: brands[brand], sid, person });
    this.fusionUrl = `${server.url}/b/${brand}`;
  }

  /** Logs in; the answer as it came. */
  async tryLogin(url = this.fusionUrl) {
    return call(`${url}/Platform/LoginAuthToken`, { method: 'POST', headers: { authtoken: this.sid } });
  }

  /** Logs in, which must succeed. */
  async login() {
    const { status, text, body } = await this.tryLogin();
    equal(status, 200, text);
    equal(body.Success, true, text);
    this.token = body.Data.Authentication.AuthToken;
    this.userId = body.Data.User.UserId;
    return this;
  }

  get channel() {
    return `private-prisma-${this.brand.id}-${this.userId}`;
  }

  /** Calls as the one whose token it is; every answer of this API has status 200 unless the server is at fault. */
  async ask(method, path, { token = this.token, ...options } = {}) {
    const headers = { ...(token === undefined ? {} : { authtoken: token }), ...options.headers };
    return call(`${this.fusionUrl}${path}`, { method, ...options, headers });
  }

  async askWell(...args) {
    const { status, text, body } = await this.ask(...args);
    equal(status, 200, text);
    return body;
  }

  listAnswer({ query = 'unread-only=false&inbox-only=false', ...options } = {}) {
    return this.askWell('GET', `/Notifications/v2/user-notifications?${query}`, options);
  }

  /** The notifications, as the page gets them. */
  async list(query) {
    const { Data, Success, Errors } = await this.listAnswer({ query });
    ok(Array.isArray(Data));
    equal(Success, true);
    equal(Errors, null);
    return Data;
  }

  /** The titles in the list, newest first. */
  async titles(query) {
    return (await this.list(query)).map(({ Title }) => Title);
  }

  one(id, options) {
    return this.askWell('GET', `/Notifications/v2/user-notification/${id}`, options);
  }

  /** As jQuery does it: JSON under the content type of a form. */
  mark(id, options) {
    return this.markWith(JSON.stringify({ MessageId: id }), FORM, options);
  }

  markWith(body, contentType, options) {
    const headers = contentType === undefined ? {} : { 'Content-Type': contentType };
    return this.askWell('POST', '/Notifications/MarkNotificationAsRead', { ...options, headers, body });
  }

  /** With the two slashes that pages write. */
  remove(id, options) {
    return this.askWell('DELETE', `//Notifications/v2/user-notification/${id}`, options);
  }

  /** Opens a socket as a page does, and subscribes; gives all that the channel then gets. */
  async listen({ authToken, channel = this.channel } = {}) {
    const events = recordAll(this.open({ authToken }).subscribe(channel), channel);
    const { event, data } = await events.next();
    equal(event, 'pusher:subscription_succeeded', `status ${data}`);
    return events;
  }

  /** A client that has only begun to connect. */
  open({ authToken = this.sid } = {}) {
    const client = new Pusher(apps[this.brand.app].key, {
      authEndpoint: `${this.fusionUrl}/external/pusher/${this.brand.name}?authToken=${authToken}`,
      cluster: this.brand.region,
      wsHost: '127.0.0.1',
      wsPort: this.server.port,
      forceTLS: false,
      encrypted: false,
      disableStats: true,
      enabledTransports: ['ws'],
    });
    this.#clients.push(client);
    return client;
  }

  leave() {
    for (const client of this.#clients.splice(0)) client.disconnect();
  }
}

/** The events before the first for which `last` holds, and that one. */
export async function eventsUpTo(events, last) {
  const seen = [];
  do seen.push(await events.next());
  while (!last(seen.at(-1)));
  return seen;
}

/** The next event that tells of a new notification. */
export function nextNews(events) {
  return events.nextWhere(isNews);
}

export function isNews({ event }) {
  return KINDS.includes(event);
}

/** What comes last of all that pages are told of a change. */
export function isCounts({ event }) {
  return event === 'tidings:counts';
}
