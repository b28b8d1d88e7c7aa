// What stands around the suites of the inbox: the server with two brands, and the operator of each.

import { afterEach } from 'node:test';
import { apps } from './apps.js';
import { brands, brandsToml } from './brands.js';
import { library } from './backend.js';
import { isCounts, Visitor } from './fusion.js';
import { Operator } from './operator.js';
import { activity, Sender } from './onsite.js';
import { Server } from './server.js';

let people = 0;

export class Inbox {
  #visitors = [];

  /** Ends by `close`; what visitors have open ends with each test. */
  static async open(options = {}) {
    const inbox = new Inbox();
    inbox.operators = Object.fromEntries(
      await Promise.all(Object.keys(brands).map(async (name) => [name, await Operator.start()])),
    );
    inbox.server = await Server.start({ toml: brandsToml(inbox.operators), ...options });
    inbox.sender = new Sender(inbox.server);
    afterEach(() => inbox.#leave());
    return inbox;
  }

  /** Somebody new with a sid that the operator accepts, who has not logged in yet. */
  stranger({ brand = 'acorn', person = newPerson(), sid = `sid-${person}-${random()}` } = {}) {
    this.operators[brand].accept(sid, person);
    const visitor = new Visitor({ server: this.server, brand, sid, person: String(person) });
    this.#visitors.push(visitor);
    return visitor;
  }

  /** Somebody new who is logged in. */
  visitor(options) {
    return this.stranger(options).login();
  }

  /** Another device of the same person, with a login of its own. */
  device({ brand, person }) {
    return this.visitor({ brand: brand.name, person });
  }

  /** Sends a notification with this content to a visitor's person; gives its `site_notification_id`. */
  notify({ brand, person }, content) {
    const sender = new Sender(this.server, brand.apiKey);
    return sender.send(activity({ brand: brand.name, person, ...content }));
  }

  /** Like `notify`, but gives the notification as it then stands in the list, once the person's pages have been told. */
  async notified(visitor, content) {
    const page = await visitor.listen();
    await this.notify(visitor, content);
    await page.nextWhere(isCounts);
    return (await visitor.list()).find(({ Title }) => Title === content.title);
  }

  /** The `pusher` library of the brand's app. */
  library(brand) {
    return library(brands[brand].app, this.server.port);
  }

  #leave() {
    for (const visitor of this.#visitors.splice(0)) visitor.leave();
  }

  async close() {
    this.#leave();
    for (const operator of Object.values(this.operators)) operator.down();
    await this.server.stop();
  }
}

export function newPerson() {
  people += 1;
  return `person-${people}-${random()}`;
}

export function appOf(brand) {
  return apps[brands[brand].app];
}

function random() {
  return Math.random().toString(36).slice(2, 12);
}
