// The `pusher` npm library, its answers and its errors made one kind of value.

import Pusher from 'pusher';
import { apps } from './apps.js';

export function library(app, port, options = {}) {
  const { id, ...rest } = apps[app];
  return new Pusher({ appId: id, host: '127.0.0.1', port, useTLS: false, ...rest, ...options });
}

/** `{status, body}` of a call: the body parsed where the call succeeded, else the text the server sent. */
export async function answer(call) {
  try {
    const response = await call;
    return { status: response.status, body: await response.json() };
  } catch (error) {
    if (!(error instanceof Pusher.RequestError) || error.status === undefined) throw error;
    return { status: error.status, body: error.body };
  }
}
