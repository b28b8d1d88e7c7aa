// What stands around the clients of one suite: the server, the app's backend and its auth endpoint.

import { apps, toml } from './apps.js';
import { startAuthEndpoint } from './auth-endpoint.js';
import { answer, library } from './backend.js';
import { startProxy } from './proxy.js';
import { Server } from './server.js';

export class Stage {
  #tls;
  #server;
  #auth;
  #own = new Map();
  #proxies = new Map();

  /** With an authority in `tls`, the server speaks TLS, and all that the stage knows of it does. */
  static async open({ tls } = {}) {
    const stage = new Stage();
    stage.#tls = tls;
    stage.#server = await Server.start({ toml: stage.#toml() });
    stage.#auth = await startAuthEndpoint();
    return stage;
  }

  /** What clients must know; holds no secret, as a page would. */
  get site() {
    return {
      host: '127.0.0.1',
      port: this.#server.port,
      tls: this.#tls !== undefined,
      authUrl: this.#auth.url,
      apps: Object.fromEntries(Object.entries(apps).map(([name, { id, key }]) => [name, { id, key }])),
    };
  }

  /** Runs one of the methods that cases may ask for, also from within a page. */
  call = (method, ...args) => {
    const own = this.#own;
    const tls = this.#tls;
    const useTLS = this.site.tls;
    const toml = () => this.#toml();
    const proxies = this.#proxies;
    const port = this.#server.port;
    const methods = {
      backend: (app, port, name, values) => answer(library(app, port, { useTLS })[name](...values)),
      async startServer() {
        const server = await Server.start({ toml: toml() });
        own.set(server.port, server);
        return server.port;
      },
      async restartServer(port, { ending }) {
        const server = own.get(port);
        await { crash: () => server.crash(), quit: () => server.quit() }[ending]();
        await server.restart();
      },
      async startProxy() {
        const proxy = await startProxy(port, await tls?.pair());
        proxies.set(proxy.port, proxy);
        return proxy.port;
      },
      answered: async (proxy) => proxies.get(proxy).answered,
    };
    return methods[method](...args);
  };

  #toml() {
    return `${this.#tls?.toml() ?? ''}${toml()}`;
  }

  /** Ends the servers and proxies that a case has started for itself. */
  async closeOwnServers() {
    for (const proxy of this.#proxies.values()) proxy.close();
    this.#proxies.clear();
    for (const server of this.#own.values()) await server.stop();
    this.#own.clear();
  }

  async close() {
    await this.closeOwnServers();
    this.#auth.close();
    await this.#server.stop();
  }
}
