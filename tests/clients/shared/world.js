// What a case has at hand: clients of one pusher-js, the app's backend, and servers of its own.
// Runs in Node and in a page; all that only Node can do goes through `call` (see host/stage.js).

import { record, recordAll, within } from './recorder.js';
import { same } from './expect.js';

// A first try that meets a closed port costs pusher-js 15 s until the next.
const RECONNECT_MS = 40_000;

let names = 0;

export class World {
  #call;
  #clients = [];
  #log = [];

  /**
   * @param Pusher  the constructor of the pusher-js under test
   * @param client  its row in shared/clients.js
   * @param site    where server and auth endpoint are, and the key of each app
   * @param call    runs a method of the stage in Node
   * @param Echo    laravel-echo, where the case is about it
   * @param transport  the one that the clients may use, in pusher-js's words
   */
  constructor({ Pusher, client, site, call, Echo, transport = 'ws' }) {
    this.Pusher = Pusher;
    this.transport = transport;
    this.client = client;
    this.site = site;
    this.Echo = Echo;
    this.#call = call;
    Pusher.log = (line) => this.#log.push(line);
  }

  /** A name no other case uses. */
  name(prefix = '') {
    names += 1;
    return `${prefix}case-${names}-${Math.random().toString(36).slice(2, 10)}`;
  }

  /** What pusher-js is told to find the server and the app's auth endpoint. */
  options({ app = 'main', port = this.site.port, auth = 'sign', signin = 'sign', user = {}, ...rest } = {}) {
    const endpoints = {
      channel: `${this.site.authUrl}/${app}/channel/${auth}`,
      user: `${this.site.authUrl}/${app}/user/${signin}`,
    };
    return {
      wsHost: this.site.host,
      wsPort: port,
      httpHost: this.site.host,
      httpPort: port,
      forceTLS: false,
      enabledTransports: [this.transport],
      cluster: '',
      ...(this.site.tls && { wssPort: port, httpsPort: port, forceTLS: true }),
      ...this.client.authOptions(endpoints, { user: JSON.stringify(user) }),
      ...rest,
    };
  }

  /** A client that has only begun to connect. */
  open(options = {}) {
    const key = options.key ?? this.site.apps[options.app ?? 'main'].key;
    return this.adopt(new this.Pusher(key, this.options(options)));
  }

  /** A connected client. */
  async connect(options) {
    const client = this.open(options);
    await this.connected(client);
    return client;
  }

  async connected(client) {
    if (client.connection.state === 'connected') return;
    await within(
      'the connection',
      new Promise((resolve, reject) => {
        client.connection.bind('connected', resolve);
        client.connection.bind('error', ({ error }) => {
          reject(new Error(`not connected: ${JSON.stringify(error?.data)}`));
        });
      }),
    );
  }

  /** Has `client` closed at the end of the case. */
  adopt(client) {
    this.#clients.push(client);
    return client;
  }

  /** Subscribes, and records all that the channel gets after its `subscription_succeeded`. */
  async subscribe(client, name) {
    const channel = client.subscribe(name);
    const seen = recordAll(channel, name);
    const first = await seen.next();
    same(first.event, 'pusher:subscription_succeeded', `first event of ${name} (with ${JSON.stringify(first.data)})`);
    return { channel, seen, data: first.data };
  }

  /** Subscribes to a channel that is refused; gives the error. */
  async refused(client, name) {
    const channel = client.subscribe(name);
    const first = await recordAll(channel, name).next();
    same(first.event, 'pusher:subscription_error', `first event of ${name}`);
    return first.data;
  }

  /** Returns once the server has dealt with every frame that `client` has sent so far. */
  async flushed(client) {
    const pongs = record(client.connection, 'message');
    client.send_event('pusher:ping', {});
    await pongs.nextWhere(({ data }) => data.event === 'pusher:pong');
  }

  /**
   * The `pusher` npm library of an app, in Node. Each method answers `{status, body}`,
   * also where the library throws for the status.
   */
  backend({ app = 'main', port = this.site.port } = {}) {
    const send = (method) => (...args) => this.#call('backend', app, port, method, args);
    return {
      trigger: send('trigger'),
      triggerBatch: send('triggerBatch'),
      sendToUser: send('sendToUser'),
      terminateUserConnections: send('terminateUserConnections'),
      get: send('get'),
      post: send('post'),
    };
  }

  /** A server for this case alone, which can end and come back on its port. */
  async ownServer() {
    const port = await this.#call('startServer');
    // Returns when `client` has found its way back.
    const restart = (ending) => async (client) => {
      const states = record(client.connection, 'state_change');
      await this.#call('restartServer', port, { ending });
      await states.nextWhere(({ data }) => data.current === 'connected', RECONNECT_MS);
    };
    return { port, crashAndComeBack: restart('crash'), quitAndComeBack: restart('quit') };
  }

  /** A proxy in front of the server that lets no websocket through; `answered` gives what it has passed on so far. */
  async proxy() {
    const port = await this.#call('startProxy');
    return { port, answered: () => this.#call('answered', port) };
  }

  /** Closes all clients; gives what pusher-js has logged. */
  close() {
    for (const client of this.#clients) client.disconnect();
    return this.#log;
  }
}
