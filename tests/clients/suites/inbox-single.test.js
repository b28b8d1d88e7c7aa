// `POST /channels/site/single`: what is read of a body, which status says what to its sender, and once means once.

import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { brands } from '../host/brands.js';
import { eventsUpTo, isCounts, isNews, nextNews } from '../host/fusion.js';
import { Inbox, newPerson } from '../host/inbox.js';
import { activity, Sender } from '../host/onsite.js';
import { Admin } from '../host/own-api.js';
import { Storage, WITHOUT_SIGXFSZ } from '../host/storage.js';

// A sender that gives up on an answer sends again; the server must have answered before.
const ANSWER_MS = 15_000;

const inbox = await Inbox.open({ launcher: WITHOUT_SIGXFSZ });
const { sender, server } = inbox;
const storage = new Storage(server);
after(() => inbox.close());

test('accepted: one key, a text that begins with n_, and the notification is in the list', async () => {
  const visitor = await inbox.visitor();
  const { status, headers, body } = await sender.single(activity({ person: visitor.person, title: 'Hello' }));
  equal(status, 200);
  match(headers.get('content-type'), /^application\/json\b/);
  deepEqual(Object.keys(body), ['site_notification_id']);
  match(body.site_notification_id, /^n_[0-9A-Za-z_-]+$/);
  deepEqual(await visitor.titles(), ['Hello']);
});

test('it is also mounted under the brand, and at two slashes', async () => {
  const visitor = await inbox.visitor();
  for (const path of ['/b/acorn/channels/site/single', '//channels//site/single']) {
    const { status, text } = await sender.post(path, JSON.stringify(activity({ person: visitor.person, title: path })));
    equal(status, 200, text);
  }
  equal((await visitor.list()).length, 2);
});

describe('what the notification says is read from', () => {
  const content = {
    Title: ['title', 'Title', 'TITLE', 'subject', 'Subject'],
    Message: ['message', 'Message', 'content', 'body', 'text', 'Body', 'TEXT'],
    PreviewText: ['preview_text', 'PreviewText', 'preview', 'Preview', 'PREVIEW_TEXT'],
    FooterText: ['footer_text', 'FooterText', 'footertext'],
    ImageUrl: ['image_url', 'ImageUrl', 'image', 'Image', 'imageUrl'],
    CTAButtonLink: ['cta_button_link', 'CTAButtonLink', 'ctaButtonLink'],
    CTAButtonText: ['cta_button_text', 'CTAButtonText', 'ctabuttontext'],
    CTAButton2Link: ['cta_button2_link', 'CTAButton2Link', 'ctaButton2Link'],
    CTAButton2Text: ['cta_button2_text', 'CTAButton2Text', 'CTABUTTON2TEXT'],
  };
  const link = 'https://shop.example/a?b=c';
  for (const [field, keys] of Object.entries(content)) {
    test(`${keys.join(', ')}: ${field}`, async () => {
      for (const key of keys) {
        const visitor = await inbox.visitor();
        await inbox.notify(visitor, {
          title: 'always',
          ...(field === 'Title' ? { title: undefined } : {}),
          [key]: link,
        });
        const [item] = await visitor.list();
        equal(item[field], link, key);
      }
    });
  }

  const others = [
    [['event', 'Event', 'EVENT'], 'shoutout', 'Event', 'shoutout'],
    [['display_type', 'DisplayType', 'displaytype'], 'silent', 'DisplayType', 'silent'],
    [['data', 'Data', 'DATA'], { a: { b: [1, null] } }, 'Data', { a: { b: [1, null] } }],
    [['expires', 'Expires'], '2099-12-31 23:59:59', 'Expires', '2099-12-31 23:59:59'],
    [['expires'], '2099-12-31T23:59:59Z', 'Expires', '2099-12-31 23:59:59'],
  ];
  for (const [keys, value, field, expected] of others) {
    test(`${keys.join(', ')} (${JSON.stringify(value)}): ${field}`, async () => {
      for (const key of keys) {
        const visitor = await inbox.visitor();
        await inbox.notify(visitor, { title: 'a', [key]: value });
        deepEqual((await visitor.list())[0][field], expected, key);
      }
    });
  }

  for (const nest of ['notification', 'message', 'content', 'Notification', 'MESSAGE']) {
    test(`an object ${nest}`, async () => {
      const visitor = await inbox.visitor();
      await inbox.notify(visitor, {
        [nest]: { Subject: 'within', text: 'deep', DisplayType: 'silent', data: { a: 1 } },
      });
      const [{ Title, Message, DisplayType, Data }] = await visitor.list();
      deepEqual(
        { Title, Message, DisplayType, Data },
        { Title: 'within', Message: 'deep', DisplayType: 'silent', Data: { a: 1 } },
      );
    });
  }

  test('the first of several that match', async () => {
    const visitor = await inbox.visitor();
    const content = {
      text: 'text',
      body: 'body',
      content: 'content',
      message: 'message',
      subject: 'subject',
      title: 'title',
    };
    await inbox.notify(visitor, content);
    const [{ Title, Message }] = await visitor.list();
    deepEqual({ Title, Message }, { Title: 'title', Message: 'message' });
  });

  test('beside keys that nobody knows, in activity too', async () => {
    const visitor = await inbox.visitor();
    const item = activity({ person: visitor.person, title: 'known', enconding: 'x', deep: { a: [] }, null: null });
    Object.assign(item.activity, { internal_user_id: 5, more: { b: 1 } });
    await sender.send(item);
    deepEqual(await visitor.titles(), ['known']);
  });

  test('a body alone, without a title', async () => {
    const visitor = await inbox.visitor();
    await inbox.notify(visitor, { content: 'only a body' });
    const [{ Title, Message }] = await visitor.list();
    deepEqual({ Title, Message }, { Title: '', Message: 'only a body' });
  });

  test('the brand of the key where none is named', async () => {
    const visitor = await inbox.visitor({ brand: 'birch' });
    const item = activity({ person: visitor.person, title: 'unnamed' });
    delete item.activity.brand_id;
    await new Sender(server, brands.birch.apiKey).send(item);
    deepEqual(await visitor.titles(), ['unnamed']);
  });

  test('HTML as it is', async () => {
    const visitor = await inbox.visitor();
    const message = '<script>alert(1)</script> &amp; <p onclick="x">"\u2028</p>';
    await inbox.notify(visitor, { title: '<b>t</b>', message });
    const [{ Title, Message }] = await visitor.list();
    deepEqual({ Title, Message }, { Title: '<b>t</b>', Message: message });
  });
});

describe('an id of activity', () => {
  for (const id of [4_000_000_001, 'text-id-1', '4000000002', 9_007_199_254_740_991]) {
    test(JSON.stringify(id), async () => {
      const visitor = await inbox.visitor();
      const first = await inbox.notify(visitor, { id, title: 'a' });
      equal(await inbox.notify(visitor, { id, title: 'a' }), first);
      equal((await visitor.list()).length, 1);
    });
  }

  test("is each brand's own", async () => {
    const [here, there] = [await inbox.visitor(), await inbox.visitor({ brand: 'birch' })];
    const id = `shared-${newPerson()}`;
    const refs = [await inbox.notify(here, { id, title: 'a' }), await inbox.notify(there, { id, title: 'b' })];
    ok(refs[0] !== refs[1]);
    deepEqual([await here.titles(), await there.titles()], [['a'], ['b']]);
  });
});

/** The answer of an error: a text and its status as `code`. */
function failed({ status, text, body }, expected) {
  ok([expected].flat().includes(status), `status ${status} instead of ${expected}: ${text}`);
  equal(typeof body.error, 'string', text);
  ok(body.error.length > 0);
  deepEqual(body, { error: body.error, code: status });
}

describe('refused for good', () => {
  const person = newPerson();
  const text = JSON.stringify(activity({ person, title: 'never' }));

  for (const [what, apiKey] of [
    ['a wrong key', 'api-key-of-nobody'],
    ['an empty key', ''],
    ['no key', null],
    ['a key with more behind it', `${brands.acorn.apiKey}x`],
    ['a key with less', brands.acorn.apiKey.slice(0, -1)],
  ]) {
    test(`${what}: 401`, async () => failed(await new Sender(server, apiKey).post('/channels/site/single', text), 401));
  }

  test('a long body with a wrong key: 401, and it is not read', async () => {
    const long = `${' '.repeat(900_000)}${text}`;
    failed(await new Sender(server, 'api-key-of-nobody').post('/channels/site/single', long), 401);
  });

  for (const body of [
    '',
    '{',
    'activity=1',
    '[]',
    'null',
    '"a"',
    '5',
    `[${text}]`,
    '\0',
    '{"activity":5}',
    '{}',
    '{"activity":{}}',
  ]) {
    // What can be read but is not what it should be may count as a bad field.
    const status = ['', '{', 'activity=1', '\0'].includes(body) ? 400 : [400, 422];
    test(`${JSON.stringify(body.slice(0, 20))}: ${status}`, async () => {
      failed(await sender.post('/channels/site/single', body), status);
    });
  }

  test('bytes that are no text: 400', async () => {
    failed(await sender.post('/channels/site/single', new Uint8Array([0x7b, 0xff, 0x7d])), 400);
  });

  test('an unknown brand: 404', async () => {
    const item = activity({ person, title: 'never' });
    item.activity.brand_id = 999;
    const answer = await sender.single(item);
    failed(answer, 404);
    equal(answer.body.error, 'unknown brand');
  });

  test("another brand's key: 403", async () => {
    failed(await sender.single(activity({ brand: 'birch', person, title: 'never' })), 403);
    failed(await new Sender(server, brands.birch.apiKey).single(activity({ person, title: 'never' })), 403);
  });

  test('no content: 422', async () => {
    for (const content of [
      {},
      { enconding: 'x' },
      { notification: {} },
      { title: '', message: '' },
      { data: { a: 1 } },
    ]) {
      const answer = await sender.single(activity({ person, ...content }));
      failed(answer, 422);
      equal(answer.body.error, 'no content', JSON.stringify(content));
    }
  });

  const fields = {
    'a title of more than 255 characters': { title: 'ż'.repeat(256) },
    'a body of more than 64 KiB': { title: 'a', message: 'a'.repeat(64 * 1024 + 1) },
    'data of more than 16 KiB': { title: 'a', data: { a: 'a'.repeat(16 * 1024) } },
    'data that is no object': { title: 'a', data: [1] },
    'an unknown display type': { title: 'a', display_type: 'loud' },
    'a reserved event': { title: 'a', event: 'tidings:counts' },
    'an event of Pusher': { title: 'a', event: 'pusher:error' },
    'an expiry that is no date': { title: 'a', expires: 'soon' },
  };
  for (const [what, content] of Object.entries(fields)) {
    test(`${what}: 422`, async () => failed(await sender.single(activity({ person, ...content })), 422));
  }

  for (const [what, change] of [
    ['no id', { id: undefined }],
    ['null as id', { id: null }],
    ['an object as id', { id: {} }],
    ['a text as brand', { brand_id: 'seven' }],
    ['no user', { user_id: undefined }],
    ['an empty user', { user_id: '' }],
  ]) {
    test(`${what}: 400 or 422`, async () => {
      const item = activity({ person, title: 'never' });
      Object.assign(item.activity, change);
      failed(await sender.single(item), [400, 422]);
    });
  }

  test('a body of more than 1 MiB: for good, though never by 408 or 429', async () => {
    failed(await sender.single(activity({ person, title: 'a', filler: 'a'.repeat(1024 * 1024) })), [400, 413, 422]);
  });

  test('another method: for good, without a redirect', async () => {
    for (const method of ['GET', 'PUT', 'DELETE']) {
      const { status } = await fetch(`${server.url}/channels/site/single`, { method, redirect: 'manual' });
      ok([404, 405].includes(status), `${method}: ${status}`);
    }
  });

  test('and nothing of all this was stored', async () => {
    for (const brand of Object.keys(brands)) {
      const visitor = await inbox.visitor({ brand, person });
      const events = await visitor.listen();
      deepEqual(await visitor.list(), []);
      await inbox.notify(visitor, { title: 'a'.repeat(255), message: 'b'.repeat(64 * 1024) });
      await eventsUpTo(events, isNews);
      equal((await visitor.list()).length, 1, 'what is just allowed is stored');
    }
  });
});

test('the sender is answered, not redirected, whatever stands in its header', async () => {
  const { status } = await sender.post('/channels/site/single', '{', { headers: { 'Content-Type': 'text/plain' } });
  equal(status, 400);
});

test('the same id again: same answer, one notification, one event', async () => {
  const visitor = await inbox.visitor();
  const events = await visitor.listen();
  const item = activity({ person: visitor.person, title: 'once' });
  const first = await sender.send(item);
  equal(await sender.send(item), first);
  equal(await sender.send({ ...item, title: 'once, changed' }), first);
  await inbox.notify(visitor, { title: 'marker' });
  const seen = await eventsUpTo(events, (entry) => isNews(entry) && entry.data.Title === 'marker');
  deepEqual(
    seen.filter(isNews).map(({ data }) => data.Title),
    ['once', 'marker'],
  );
  deepEqual(await visitor.titles(), ['marker', 'once']);
});

test('a hundred at once of the same id: same answer, one notification, one event', async () => {
  const visitor = await inbox.visitor();
  const events = await visitor.listen();
  const item = activity({ person: visitor.person, title: 'raced for' });
  const answers = await Promise.all(Array.from({ length: 100 }, () => sender.single(item)));
  const refs = new Set();
  for (const { status, text, body } of answers) {
    // Who waits for the winner may be asked to come again.
    if (status === 200) refs.add(body.site_notification_id);
    else equal(status, 503, text);
  }
  deepEqual([...refs], [await sender.send(item)]);
  await inbox.notify(visitor, { title: 'marker' });
  const seen = await eventsUpTo(events, (entry) => isNews(entry) && entry.data.Title === 'marker');
  deepEqual(
    seen.filter(isNews).map(({ data }) => data.Title),
    ['raced for', 'marker'],
  );
  const counts = await events.nextWhere(isCounts);
  deepEqual(counts.data, { Unread: 2, Unseen: 2, Total: 2 });
  deepEqual(await visitor.titles(), ['marker', 'raced for']);
});

test('once also over a crash', async () => {
  const visitor = await inbox.visitor();
  const item = activity({ person: visitor.person, title: 'once' });
  const ref = await sender.send(item);
  await server.crash();
  await server.restart();
  equal(await sender.send(item), ref);
  deepEqual(await visitor.titles(), ['once']);
});

describe('our own trouble is 503, never 4xx', () => {
  /** What `single` answers is 503, with the time after which to come again. */
  const comeAgain = ({ status, headers, body, text }) => {
    equal(status, 503, text);
    deepEqual(body, { error: body.error, code: 503 });
    match(headers.get('retry-after'), /^\d+$/);
  };

  /** After the trouble: what was refused is accepted, and is there once. */
  const recovered = async (visitor, events, item) => {
    const ref = await sender.send(item);
    equal(await sender.send(item), ref);
    equal((await nextNews(events)).data.Title, item.title);
    await inbox.notify(visitor, { title: 'marker' });
    equal((await nextNews(events)).data.Title, 'marker');
    deepEqual(await visitor.titles(), ['marker', item.title]);
  };

  const start = async (title) => {
    const visitor = await inbox.visitor();
    return { visitor, events: await visitor.listen(), item: activity({ person: visitor.person, title }) };
  };

  test('a notification that cannot be stored', async () => {
    const { visitor, events, item } = await start('cannot be stored');
    comeAgain(await storage.whileRefusing(item.title, () => sender.single(item)));
    await recovered(visitor, events, item);
  });

  test('a locked database: all wait no longer than 15 s, and reads go on', async () => {
    const { visitor, events, item } = await start('locked out');
    const kept = await inbox.notified(visitor, { title: 'kept' });
    equal((await nextNews(events)).data.Title, 'kept');
    const body = JSON.stringify({ MessageId: kept.MessageId });
    // Some wait for the lock, the others for those.
    const items = [item, ...Array.from({ length: 299 }, () => activity({ person: newPerson(), title: 'queued' }))];
    await storage.whileLocked(async () => {
      const begin = performance.now();
      const answers = Promise.all(items.map((each) => sender.single(each)));
      deepEqual(await visitor.list(), [kept]);
      deepEqual((await visitor.one(kept.MessageId)).Data, kept);
      ok(performance.now() - begin < ANSWER_MS / 3, 'reading waited for the lock');
      const mark = await visitor.ask('POST', '/Notifications/MarkNotificationAsRead', { body });
      for (const answer of await answers) comeAgain(answer);
      const took = performance.now() - begin;
      ok(took < ANSWER_MS, `it took ${took} ms`);
      equal(mark.status, 503, mark.text);
      match(mark.headers.get('retry-after'), /^\d+$/);
      equal(mark.headers.get('access-control-allow-origin'), '*');
      deepEqual(mark.body, { Data: null, Success: false, Errors: ['internal error'] });
    });
    await visitor.remove(kept.MessageId);
    await recovered(visitor, events, item);
  });

  test('a full disk', async () => {
    const { visitor, events, item } = await start('no room');
    await storage.whileFull(async () => {
      comeAgain(await sender.single(item));
      deepEqual(await visitor.list(), []);
    });
    await recovered(visitor, events, item);
  });
});

test('a repetition is known though its template has gone, in a batch too', async () => {
  const visitor = await inbox.visitor();
  const admin = Admin.of(server, 'acorn');
  await admin.askWell('PUT', '/templates/action:5', { title: 'templated' });
  const item = activity({ person: visitor.person });
  const reference = await sender.send(item);
  await admin.ask('DELETE', '/templates/action:5');
  equal(await sender.send(item), reference);
  const other = activity({ person: visitor.person });
  equal((await sender.single(other)).status, 422);
  deepEqual((await sender.batch([item, other])).body, {
    successful: [{ id: item.activity.id, site_notification_id: reference }],
    failed: [{ id: other.activity.id, error: 'no content' }],
    fatal: [],
  });
  deepEqual(await visitor.titles(), ['templated']);
});

test('a byte order mark is passed over, in a batch too', async () => {
  const visitor = await inbox.visitor();
  const text = (title) => JSON.stringify(activity({ person: visitor.person, title }));
  equal((await sender.post('/channels/site/single', `\ufeff${text('single')}`)).status, 200);
  const { body } = await sender.post('/channels/site/batch', `\ufeff[${text('batch')}]`);
  equal(body.successful.length, 1);
  deepEqual(await visitor.titles(), ['batch', 'single']);
});

test('half an emoji is refused, and the place is named', async () => {
  const visitor = await inbox.visitor();
  const body = JSON.stringify(activity({ person: visitor.person, title: 'half \ud83d' }));
  const answer = await sender.post('/channels/site/single', body);
  equal(answer.status, 400);
  const [, column] = answer.body.error.match(/^unreadable body: .* at line 1 column (\d+)$/);
  ok(Math.abs(column - body.indexOf('\\ud83d')) < 10, answer.text);
  deepEqual(await visitor.titles(), []);
});

test('a whole number is one also as 5.0, and comes back as it was sent', async () => {
  const visitor = await inbox.visitor();
  const item = (id, user) =>
    `{"activity":{"id":${id},"brand_id":${brands.acorn.id}.0,"user_id":${user}},"title":"${id}"}`;
  const text = `[${item('70017.0', `"${visitor.person}"`)},${item('70017', '"u"')},${item('70018.5', '"u"')},${item('70019', '4211.0')}]`;
  const answer = await sender.post('/channels/site/batch', text);
  equal(answer.status, 200, answer.text);
  deepEqual(
    answer.body.successful.map(({ id }) => id),
    [70017, 70019],
  );
  match(answer.text, /"id":70017\.0/);
  deepEqual([answer.body.failed, answer.body.fatal], [[], []]);
  deepEqual(await visitor.titles(), ['70017.0']);
  const admin = Admin.of(server, 'acorn');
  equal((await admin.askWell('GET', '/users/4211/counts')).total, 1);
});
