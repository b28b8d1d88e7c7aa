// Assertions that run in Node and in a page alike.

/** Fails unless `actual` and `expected` are the same value, whatever the order of their keys. */
export function same(actual, expected, what = 'value') {
  const got = text(actual);
  const wanted = text(expected);
  if (got !== wanted) throw new Error(`${what}: expected ${clip(wanted)}, got ${clip(got)}`);
}

export function matches(actual, pattern, what = 'value') {
  if (typeof actual !== 'string' || !pattern.test(actual)) {
    throw new Error(`${what}: expected text like ${pattern}, got ${clip(text(actual))}`);
  }
}

export function ok(condition, what) {
  if (!condition) throw new Error(what);
}

function text(value) {
  if (Array.isArray(value)) return `[${value.map(text).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? 'undefined';
  // As in JSON, a key whose value is undefined counts as absent.
  const keys = Object.keys(value).filter((key) => value[key] !== undefined).sort();
  const entries = keys.map((key) => `${JSON.stringify(key)}:${text(value[key])}`);
  return `{${entries.join(',')}}`;
}

function clip(value) {
  return value.length > 600 ? `${value.slice(0, 600)}… (${value.length} characters)` : value;
}
