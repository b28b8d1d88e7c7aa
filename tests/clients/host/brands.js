// The brands of the test server, and the configuration that makes them.

import { apps, toml } from './apps.js';

/** A sid with which a page may be developed before it has a real one; each brand says whether it takes it. */
export const TEST_SID = '99999999-9999-9999-9999-999999999999-9999';

export const SHOP = 'https://shop.example';

/** Not the one of the test server's pages, nor of `SHOP`. */
export const ELSEWHERE = 'https://elsewhere.example';

export const brands = {
  /** The first of the file: what is mounted at the root is this brand's. */
  acorn: { id: 7, name: 'acorn', app: 'main', region: 'eu', testSid: false, origins: [] },
  birch: { id: 8, name: 'birch', app: 'plain', region: 'us2', testSid: true, origins: [SHOP] },
};
for (const brand of Object.values(brands)) brand.apiKey = `api-key-of-brand-${brand.name}`;

/** The server's configuration file; `operators` are the login checks of the brands, by name. */
export function brandsToml(operators) {
  return [toml(), ...Object.values(brands).map((brand) => brandToml(brand, operators[brand.name]))].join('\n');
}

function brandToml({ id, name, app, region, testSid, origins, apiKey }, operator) {
  const values = {
    id,
    name,
    app: apps[app].id,
    region,
    sid_url: operator.url,
    test_sid: testSid,
    api_keys: [apiKey],
    allowed_origins: origins,
  };
  // TOML writes these values as JSON does.
  const lines = Object.entries(values).map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
  return `[[brands]]\n${lines.join('\n')}\n`;
}
