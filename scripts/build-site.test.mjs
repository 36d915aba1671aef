import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('build-site.mjs', import.meta.url));

/** Writes a project and runs the script on it. */
function build(t, files) {
  const dir = mkdtempSync(join(tmpdir(), 'ssr-build-site-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const site = join(dir, 'site');
  // With node_modules in place, the script does not install dependencies.
  mkdirSync(join(site, 'node_modules'), { recursive: true });
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(site, path)), { recursive: true });
    writeFileSync(join(site, path), text);
  }
  const out = join(dir, 'out');
  const result = spawnSync(process.execPath, [script, site, out], {
    encoding: 'utf8',
  });
  return { ...result, out };
}

test('a directory without package.json fails and the error states the convention', (t) => {
  const { status, stderr } = build(t, {});
  assert.equal(status, 1);
  assert.match(stderr, /package\.json/);
  assert.match(stderr, /src\/entry-server/);
});

test('a project without index.html fails and the error names the file', (t) => {
  const { status, stderr } = build(t, { 'package.json': '{}' });
  assert.equal(status, 1);
  assert.match(stderr, /has no index\.html/);
});

test('a project without a server entry fails and the error lists the accepted paths', (t) => {
  const { status, stderr } = build(t, {
    'package.json': '{}',
    'index.html': '',
  });
  assert.equal(status, 1);
  assert.match(stderr, /src\/entry-server\.jsx/);
});

test('a project without Vite fails and the error says so', (t) => {
  const { status, stderr } = build(t, {
    'package.json': '{}',
    'index.html': '',
    'src/entry-server.js': '',
  });
  assert.equal(status, 1);
  assert.match(stderr, /cannot load the project's vite/);
});

test("a project's own ssr-build script is used if there is one", (t) => {
  const { status, stderr, out } = build(t, {
    'package.json': JSON.stringify({
      scripts: { 'ssr-build': 'node build.mjs' },
    }),
    'build.mjs': `import { mkdirSync, writeFileSync } from 'node:fs';
      for (const dir of ['client', 'server']) mkdirSync('dist/' + dir, { recursive: true });
      writeFileSync('dist/client/index.html', 'template');
      writeFileSync('dist/server/entry-server.js', 'export default {}');`,
  });
  assert.equal(status, 0, stderr);
  assert.equal(
    readFileSync(join(out, 'client/index.html'), 'utf8'),
    'template',
  );
  assert.ok(existsSync(join(out, 'server/entry-server.js')));
});

test('an ssr-build script that creates no bundle fails and the error names what is missing', (t) => {
  const { status, stderr } = build(t, {
    'package.json': JSON.stringify({ scripts: { 'ssr-build': 'true' } }),
  });
  assert.equal(status, 1);
  assert.match(stderr, /did not create dist\/client/);
});
