// The HTML of every page equals, byte for byte, what Node renders from the same
// server bundle.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { get, loadSite, missingPage, readSettings } from './site.mjs';

const headers = {
  'user-agent': 'html-equals-node/1 (a "quoted" <agent> & more)',
  'accept-language': 'en-GB,de;q=0.7',
  accept: 'text/html',
};

let settings;
let site;

before(async () => {
  settings = readSettings();
  site = await loadSite(settings);
});

async function compare(path, expectedStatus) {
  const wanted = await site.renderInNode(settings.url, path, headers);
  const answer = await get(settings.url, path, headers);
  assert.equal(answer.status, expectedStatus, `status of ${path}`);
  assert.equal(wanted.status, expectedStatus, `status of ${path} in Node`);
  assert.match(answer.headers['content-type'], /^text\/html\b/);
  assert.equal(answer.body, wanted.html, `HTML of ${path}`);
}

test('every page', async (t) => {
  assert.ok(site.pages.length > 10, 'the site lists its pages');
  for (const path of site.pages) {
    await t.test(path, () => compare(path, 200));
  }
});

test('pages with a query', async (t) => {
  const paths = [
    '/?nothing',
    '/memory?board=5.2048&system=200&site=33&k3s=on',
    '/memory?board=%00.9&system=-1&site=99999&k3s',
    '/request?a=1&a=2&b=&=c&plus=a+b&percent=%25',
    '/request?note=%3C/script%3E%3Cscript%3Ealert(1)%3C/script%3E&q=%22%27%26',
    '/request?text=Gr%C3%BC%C3%9Fe%20%F0%9F%8D%93&broken=%E0%A4%A&half=%ED%A0%BD',
    '/request?line=%E2%80%A8%E2%80%A9&null=%00',
  ];
  for (const path of paths) await t.test(path, () => compare(path, 200));
});

test('an unknown page has status 404', async (t) => {
  for (const path of [
    missingPage,
    '/boards/999',
    '/boards/zero-w/more',
    '/%3Cb%3E',
    '//example.org',
  ]) {
    await t.test(path, () => compare(path, 404));
  }
});

test('text from the request is escaped', async () => {
  const note = '</script><script>alert(1)</script>';
  const path = `/request?note=${encodeURIComponent(note)}`;
  const { body } = await get(settings.url, path, headers);
  assert.ok(!body.includes('<script>alert'), 'the script is escaped');
  assert.ok(body.includes('&lt;script>alert'), 'the script is shown as text');
  assert.ok(!body.includes('<agent>'), 'the user agent is escaped');
});

test('/request returns JSON to a client that asks for it', async () => {
  const {
    status,
    headers: sent,
    body,
  } = await get(settings.url, '/request?a=1', {
    ...headers,
    accept: 'application/json',
  });
  assert.equal(status, 200);
  assert.match(sent['content-type'], /^application\/json\b/);
  assert.match(sent.vary, /\baccept\b/i);
  assert.deepEqual(JSON.parse(body), {
    method: 'GET',
    path: '/request',
    query: [['a', '1']],
    userAgent: headers['user-agent'],
    acceptLanguage: headers['accept-language'],
    accept: 'application/json',
  });
});

test('a trailing slash redirects to the page', async () => {
  const answer = await get(settings.url, '/guide/?a=1', headers);
  assert.equal(answer.status, 308);
  assert.equal(answer.headers.location, '/guide?a=1');
});

test('concurrent visitors each get their own page', async () => {
  const paths = Array.from({ length: 40 }, (_, i) => `/request?visitor=${i}`);
  const answers = await Promise.all(
    paths.map((path, i) =>
      get(settings.url, path, { ...headers, 'user-agent': `visitor-${i}` }),
    ),
  );
  for (const [i, path] of paths.entries()) {
    const wanted = await site.renderInNode(settings.url, path, {
      ...headers,
      'user-agent': `visitor-${i}`,
    });
    assert.equal(answers[i].body, wanted.html);
  }
});
