// The apps of the test server, by the name the tests use, and the configuration that makes them.

const ENCRYPTION_MASTER_KEY = Buffer.alloc(32, 7).toString('base64');

const settings = {
  /** All features on, Pusher's limits. */
  main: { client_events: true, user_authentication: true, watchlist_events: true },
  /** No feature on. */
  plain: { client_events: false, user_authentication: false, watchlist_events: false },
  counted: { subscription_count: true },
  disabled: { enabled: false },
  /** Limits small enough to be met. */
  small: { client_events: true, limits: { presence_members: 2, client_events_per_second: 3, event_bytes: 100 } },
  here: { allowed_origins: ['127.0.0.1'] },
  elsewhere: { allowed_origins: ['https://elsewhere.example'] },
  large: { client_events: true, limits: { event_bytes: 100_000 } },
  single: { limits: { connections: 1 } },
};

export const apps = Object.fromEntries(
  Object.keys(settings).map((name, index) => [
    name,
    {
      id: String(1001 + index),
      key: `key-of-${name}`,
      secret: `secret-of-${name}`,
      encryptionMasterKeyBase64: ENCRYPTION_MASTER_KEY,
    },
  ]),
);

/** The server's configuration file. */
export function toml() {
  return Object.entries(settings).map(([name, values]) => appToml(apps[name], values)).join('\n');
}

function appToml({ id, key, secret }, { limits, ...switches }) {
  const lines = ['[[apps]]', ...assignments({ id, key, secret, ...switches })];
  if (limits) lines.push('[apps.limits]', ...assignments(limits));
  return `${lines.join('\n')}\n`;
}

// TOML writes the values used here as JSON does.
function assignments(values) {
  return Object.entries(values).map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
}
