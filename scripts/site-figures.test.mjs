import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { measured } from './site-figures.mjs';

const SITE = new URL('../images/site/src/', import.meta.url);

test('the figures on the demo site are those in bench/results', async () => {
  const source = readFileSync(new URL('data/figures.js', SITE), 'utf8');
  const { figures } = await import(
    `data:text/javascript,${encodeURIComponent(source)}`
  );
  assert.deepEqual(
    figures,
    measured(),
    'update them with `node scripts/site-figures.mjs`',
  );
});

test('no page of the demo site spells out a measured figure', () => {
  const pages = fileURLToPath(new URL('pages/', SITE));
  for (const name of readdirSync(pages)) {
    const text = readFileSync(pages + name, 'utf8');
    const found = text.match(/\b\d[\d.,]* ?(µs|ms\b|MB\b)/g) ?? [];
    assert.deepEqual(found, [], `${name}: take figures from data/figures.js`);
  }
});
