// The demo site served by plain Node: the same assets and the same render
// function. For developing the tests, and a peer in the benchmarks.
//
//   node node-server.mjs DIST PORT
//
// SITE_ENV may hold the environment to render with, as a JSON object.

import { readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { hostname } from 'node:os';
import { extname, join, relative, resolve, sep } from 'node:path';
import { pathToFileURL } from 'node:url';

const [dist, port = '8080'] = process.argv.slice(2);
if (!dist) {
  console.error('usage: node node-server.mjs DIST PORT');
  process.exit(64);
}

const contentTypes = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/vnd.microsoft.icon',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.webp': 'image/webp',
  '.woff2': 'font/woff2',
};

const environment = process.env.SITE_ENV
  ? JSON.parse(process.env.SITE_ENV)
  : {
      SSR_SERVER: `node/${process.versions.node}`,
      SSR_ARCH: process.arch,
      SSR_HOSTNAME: hostname(),
    };

const client = resolve(dist, 'client');
const assets = await readAssets(client);
const template = (await readFile(join(client, 'index.html'), 'utf8')).split(
  /<!--app-head-->|<!--app-html-->/,
);
const { render } = await import(
  pathToFileURL(resolve(dist, 'server/entry-server.js'))
);

const server = createServer((message, answer) => {
  respond(message, answer).catch((error) => {
    console.error(error);
    if (!answer.headersSent) answer.writeHead(500);
    answer.end();
  });
});
server.listen(Number(port), () => {
  console.log(`listening on http://localhost:${server.address().port}`);
});

async function respond(message, answer) {
  const path = message.url.split('?')[0];
  const asset = assets.get(path);
  if (asset) return send(message, answer, 200, asset.headers, asset.body);
  if (path.startsWith('/assets/')) {
    const headers = { 'cache-control': 'no-store' };
    return send(message, answer, 404, headers, Buffer.alloc(0));
  }

  const start = performance.now();
  const request = new Request(`http://${message.headers.host}${message.url}`, {
    method: message.method,
    headers: toHeaders(message.rawHeaders),
  });
  const result = await render(message.url, {
    request,
    env: environment,
    ctx: {},
  });
  const timing = `render;dur=${(performance.now() - start).toFixed(3)}`;

  if (result instanceof Response) {
    const headers = Object.fromEntries(result.headers);
    const body = Buffer.from(await result.arrayBuffer());
    headers['server-timing'] = timing;
    return send(message, answer, result.status, headers, body);
  }
  const headers = {
    'content-type': contentTypes['.html'],
    'cache-control': 'no-cache',
    ...result.headers,
    'server-timing': timing,
  };
  const html =
    template[0] + result.head + template[1] + result.html + template[2];
  send(message, answer, result.status, headers, Buffer.from(html));
}

function send(message, answer, status, headers, body) {
  answer.writeHead(status, { ...headers, 'content-length': body.length });
  answer.end(message.method === 'HEAD' ? undefined : body);
}

function toHeaders(raw) {
  const headers = new Headers();
  for (let i = 0; i < raw.length; i += 2) headers.append(raw[i], raw[i + 1]);
  return headers;
}

/** Reads every file except the template into memory: the site is small. */
async function readAssets(folder) {
  const found = new Map();
  const entries = await readdir(folder, {
    recursive: true,
    withFileTypes: true,
  });
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath ?? entry.path, entry.name);
    const path = `/${relative(folder, file).split(sep).join('/')}`;
    if (path === '/index.html') continue;
    found.set(path, {
      body: await readFile(file),
      headers: {
        'content-type':
          contentTypes[extname(file)] ?? 'application/octet-stream',
        'cache-control': path.startsWith('/assets/')
          ? 'public, max-age=31536000, immutable'
          : 'no-cache',
      },
    });
  }
  return found;
}
