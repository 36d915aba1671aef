import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

/** The demo site's dependencies, with its copy of Vite. */
const withVite = fileURLToPath(
  new URL('../images/site/node_modules', import.meta.url),
);

before(() => {
  if (existsSync(withVite)) return;
  const site = dirname(withVite);
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], {
    cwd: site,
    stdio: ['ignore', 2, 2],
  });
  assert.equal(status, 0, `npm ci in ${site}`);
});

/** A small project; `server` is its server entry, `config` its vite.config.js. */
const project = (server, config = 'export default {}') => ({
  'package.json': '{"type":"module"}',
  'index.html':
    '<body><div id="app"></div><script type="module" src="/src/entry-client.js"></script></body>',
  'src/entry-client.js': 'console.log("client")',
  'src/entry-server.js': server,
  'vite.config.js': config,
});

const page = 'export const render = () => "page";';

const script = fileURLToPath(new URL('build-site.mjs', import.meta.url));

/** Writes a project and runs the script on it. */
function build(t, files, dependencies) {
  const dir = mkdtempSync(join(tmpdir(), 'ssr-build-site-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const site = join(dir, 'site');
  // With node_modules in place, the script does not install dependencies.
  mkdirSync(site, { recursive: true });
  const modules = join(site, 'node_modules');
  if (dependencies) symlinkSync(dependencies, modules);
  else mkdirSync(modules);
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
  assert.equal(readFileSync(join(out, 'template.html'), 'utf8'), 'template');
  assert.ok(existsSync(join(out, 'server/entry-server.js')));
});

test('an ssr-build script that creates no bundle fails and the error names what is missing', (t) => {
  const { status, stderr } = build(t, {
    'package.json': JSON.stringify({ scripts: { 'ssr-build': 'true' } }),
  });
  assert.equal(status, 1);
  assert.match(stderr, /did not create dist\/client/);
});

test('an import that may not be needed is named, and one that is needed is refused', (t) => {
  const optional = `export const render = async () => {
    try { return (await import('node:async_hooks')).name } catch { return 'without' }
  };`;
  const warned = build(t, project(optional), withVite);
  assert.equal(warned.status, 0, warned.stderr);
  assert.match(warned.stderr, /may import node:async_hooks later/);
  assert.ok(existsSync(join(warned.out, 'server/entry-server.js')));

  const needed = `import { readFileSync } from 'node:fs'; ${page} readFileSync('x');`;
  const refused = build(t, project(needed), withVite);
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /imports node:fs/);
});

test("a project's own output directories do not keep the results away", (t) => {
  const config = `export default {
    build: { outDir: 'elsewhere' },
    environments: {
      client: { build: { outDir: 'dist/own-client' } },
      ssr: { build: { outDir: 'dist/own-server' } },
    },
  }`;
  const { status, stderr, out } = build(t, project(page, config), withVite);
  assert.equal(status, 0, stderr);
  for (const file of ['template.html', 'server/entry-server.js']) {
    assert.ok(existsSync(join(out, file)), file);
  }
  assert.equal(readdirSync(join(out, 'client/assets')).length, 1);
});

test('a build that leaves no result fails and the error names it', (t) => {
  const config = `import { rmSync } from 'node:fs';
    export default { plugins: [{ name: 'x', writeBundle({ dir }) { rmSync(dir + '/index.html', { force: true }) } }] }`;
  const { status, stderr } = build(t, project(page, config), withVite);
  assert.equal(status, 1);
  assert.match(stderr, /has succeeded without .*client\/index\.html/);
});

test('assets lie below the base that the site has them in its URLs', (t) => {
  const config = "export default { base: '/app/v1/' }";
  const { status, stderr, out } = build(t, project(page, config), withVite);
  assert.equal(status, 0, stderr);
  const template = readFileSync(join(out, 'template.html'), 'utf8');
  const [, url] = template.match(/src="(\/app\/v1\/assets\/[^"]+)"/);
  assert.ok(existsSync(join(out, 'client', url)), url);
  assert.ok(existsSync(join(out, 'client/.vite/manifest.json')));
});
