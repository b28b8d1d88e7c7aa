// What the CRM asks of the server when it sends on-site notifications.

import { equal } from 'node:assert/strict';
import { brands } from './brands.js';
import { call } from './fusion.js';

let activities = 90_000;

/** A body of the single call: a new activity for one person, and what the notification says beside it. */
export function activity({ brand = 'acorn', person, id, ...content }) {
  return {
    activity: {
      id: id ?? (activities += 1),
      brand_id: brands[brand].id,
      user_id: person,
      activity_id: 31,
      action_group_id: 402,
      trigger_hash: 'c0ffee12',
      action_id: 5,
    },
    ...content,
  };
}

export class Sender {
  /** `apiKey` null sends none. */
  constructor(server, apiKey = brands.acorn.apiKey) {
    Object.assign(this, { server, apiKey });
  }

  single(item, options) {
    return this.post('/channels/site/single', JSON.stringify(item), options);
  }

  batch(items, options) {
    return this.post('/channels/site/batch', JSON.stringify(items), options);
  }

  /** The text as it is; the answer as it came. */
  post(path, body, { headers = {} } = {}) {
    const key = this.apiKey === null ? {} : { 'x-api-key': this.apiKey };
    return call(`${this.server.url}${path}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...key, ...headers },
      body,
    });
  }

  /** Sends a single, which must succeed; gives its `site_notification_id`. */
  async send(item) {
    const { status, text, body } = await this.single(item);
    equal(status, 200, text);
    return body.site_notification_id;
  }

  /** Sends a batch, whose answer must have all three categories and nothing else. */
  async sendBatch(items) {
    const { status, text, body } = await this.batch(items);
    equal(status, 200, text);
    equal(Object.keys(body).sort().join(), 'failed,fatal,successful', text);
    return body;
  }
}
