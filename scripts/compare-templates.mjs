// Builds today's templates of create-vite-extra, unchanged, as images, and compares their pages
// with those that their own server gives under Node:
//
//   node scripts/compare-templates.mjs [TEMPLATE...]
//
// What is downloaded stays in .cache/templates. tests/templates has the lock files that say what
// that is; `node scripts/compare-templates.mjs --update` writes them anew.

import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const PACKAGE = 'create-vite-extra@5.0.3';
const TEMPLATES = ['vanilla', 'preact', 'react', 'vue', 'svelte', 'solid'];
// How long a server may take to answer for the first time.
const START_MS = 30_000;

const repository = path.join(
  path.dirname(fileURLToPath(import.meta.url)),
  '..',
);
const locks = path.join(repository, 'tests/templates');
const cache = path.join(repository, '.cache/templates');
const work = path.join(repository, 'target/templates');

const say = (text) => console.log(`templates: ${text}`);

function run(directory, command, ...args) {
  return execFileSync(command, args, {
    cwd: directory,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** The directory of the package's templates. */
function download() {
  const unpacked = path.join(cache, PACKAGE);
  if (!fs.existsSync(unpacked)) {
    say(`downloading ${PACKAGE} (npm)`);
    fs.mkdirSync(cache, { recursive: true });
    const archive = run(cache, 'npm', 'pack', '--silent', PACKAGE).trim();
    const part = `${unpacked}.part`;
    fs.rmSync(part, { recursive: true, force: true });
    fs.mkdirSync(part);
    run(cache, 'tar', 'xzf', archive, '-C', part, '--strip-components=1');
    fs.renameSync(part, unpacked);
  }
  return unpacked;
}

/** A copy of a template with what it needs installed. */
function install(name, update) {
  const project = path.join(work, name);
  const lock = path.join(locks, `${name}.package-lock.json`);
  fs.rmSync(project, { recursive: true, force: true });
  fs.cpSync(path.join(download(), `template-ssr-${name}`), project, {
    recursive: true,
  });
  const quiet = ['--silent', '--no-audit', '--no-fund'];
  if (update) {
    run(project, 'npm', 'install', ...quiet);
    fs.mkdirSync(locks, { recursive: true });
    fs.copyFileSync(path.join(project, 'package-lock.json'), lock);
  } else {
    fs.copyFileSync(lock, path.join(project, 'package-lock.json'));
    run(project, 'npm', 'ci', '--prefer-offline', ...quiet);
  }
  return project;
}

async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/** Runs a server while `ask` asks it; `ask` gets a function from paths to responses. */
async function whileRunning(directory, command, args, env, port, ask) {
  const server = spawn(command, args, {
    cwd: directory,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [server.stdout, server.stderr])
    stream.on('data', (data) => (said += data));
  const exited = new Promise((done) => server.on('exit', done));
  const get = (url) =>
    fetch(`http://127.0.0.1:${port}${url}`, {
      headers: { 'accept-encoding': 'identity' },
    });
  try {
    const until = Date.now() + START_MS;
    for (;;) {
      try {
        await get('/');
        break;
      } catch (error) {
        if (server.exitCode !== null || Date.now() > until)
          throw new Error(`${command} does not answer: ${error}`);
        await new Promise((done) => setTimeout(done, 50));
      }
    }
    return await ask(get);
  } catch (error) {
    throw new Error(`${error.message}\n${said}`);
  } finally {
    server.kill();
    await exited;
  }
}

const URLS = ['/', '/other/page?query=1'];

/** The pages at URLS, and each asset that they name: its status, type and bytes. */
async function visit(get) {
  const pages = [];
  const assets = new Map();
  for (const url of URLS) {
    const response = await get(url);
    const text = await response.text();
    if (response.status !== 200)
      throw new Error(
        `${url}: status ${response.status}: ${text.slice(0, 500)}`,
      );
    pages.push(text);
    for (const [, asset] of text.matchAll(/(?:src|href)="(\/[^"]+)"/g)) {
      if (assets.has(asset)) continue;
      const file = await get(asset);
      const type = (file.headers.get('content-type') ?? '').split(';')[0];
      assets.set(
        asset,
        `${file.status} ${type} ${Buffer.from(await file.arrayBuffer()).toString('base64')}`,
      );
    }
  }
  return { pages, assets };
}

async function underNode(project) {
  run(project, 'npm', 'run', '--silent', 'build');
  const port = await freePort();
  return whileRunning(
    project,
    'node',
    ['server.js'],
    { NODE_ENV: 'production', PORT: String(port) },
    port,
    visit,
  );
}

async function asImage(name, project) {
  // The very command that a person types; it leaves the module and the assets in target/.
  run(
    repository,
    'make',
    '--silent',
    'image',
    `SITE=${project}`,
    `TAG=template-${name}`,
  );
  const port = await freePort();
  const args = [
    'serve',
    'target/image/ssr.wasm',
    'target/site/client',
    '--listen',
    `127.0.0.1:${port}`,
  ];
  return whileRunning(repository, 'target/release/ssr', args, {}, port, visit);
}

async function check(name, update) {
  say(`${name}: installing`);
  const project = install(name, update);
  say(`${name}: building and asking its server under Node`);
  const right = await underNode(project);
  say(`${name}: make image SITE=${path.relative(repository, project)}`);
  const ours = await asImage(name, project);
  const differences = [];
  URLS.forEach((url, at) => {
    if (ours.pages[at] !== right.pages[at]) {
      differences.push(
        `${url} differs\n--- Node\n${right.pages[at]}\n--- ours\n${ours.pages[at]}`,
      );
    }
  });
  for (const [asset, content] of right.assets) {
    const [status, type] = content.split(' ');
    const [ourStatus, ourType] = (ours.assets.get(asset) ?? 'missing').split(
      ' ',
    );
    const sameType =
      ourType === type ||
      (/javascript$/.test(ourType) && /javascript$/.test(type));
    if (ourStatus !== status || !sameType)
      differences.push(
        `${asset}: ${status} ${type} under Node, ${ourStatus} ${ourType} here`,
      );
    else if (ours.assets.get(asset).split(' ')[2] !== content.split(' ')[2])
      differences.push(`${asset}: other bytes than under Node`);
  }
  if (right.assets.size === 0) differences.push('its page names no asset');
  if (differences.length > 0)
    throw new Error(`${name}: ${differences.join('\n')}`);
  say(
    `${name}: ${URLS.length} pages and ${right.assets.size} assets equal Node's`,
  );
}

const args = process.argv.slice(2);
const update = args.includes('--update');
const names = args.filter((arg) => !arg.startsWith('--'));
const unknown = names.find((name) => !TEMPLATES.includes(name));
if (unknown)
  throw new Error(
    `unknown template ${unknown}: one of ${TEMPLATES.join(', ')}`,
  );
for (const name of names.length > 0 ? names : TEMPLATES)
  await check(name, update);
