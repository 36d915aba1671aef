// Serves a site's server bundle as a plain Node server would: `node node-server.mjs
// ENTRY CLIENT TEMPLATE`, on the address in SSR_LISTEN. The assets in the directory
// CLIENT are read once, at the start; every page is rendered for each request.

import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [entry, client, page] = process.argv.slice(2);
const [host, port] = process.env.SSR_LISTEN.split(':');
const site = await import(pathToFileURL(entry));

const types = {
  '.css': 'text/css',
  '.js': 'text/javascript',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain',
  '.woff2': 'font/woff2',
};
const assets = new Map();
for (const file of readdirSync(client, {
  recursive: true,
  withFileTypes: true,
})) {
  if (!file.isFile()) continue;
  const path = join(file.path, file.name);
  assets.set(path.slice(client.length), {
    body: readFileSync(path),
    type: types[extname(path)],
  });
}
const template = readFileSync(page, 'utf8');
assets.delete('/index.html');

async function render({ url, headers }) {
  const request = new Request(`http://${headers.host}${url}`, { headers });
  const result = await site.render(url, {
    request,
    env: {},
    ctx: { waitUntil: () => {} },
  });
  if (result instanceof Response) {
    return [
      result.status,
      Object.fromEntries(result.headers),
      await result.text(),
    ];
  }
  const html = template
    .replace('<!--app-head-->', () => result.head)
    .replace('<!--app-html-->', () => result.html);
  return [
    result.status,
    { 'content-type': 'text/html', ...result.headers },
    html,
  ];
}

const server = createServer(async (request, response) => {
  const asset = assets.get(request.url);
  if (asset)
    return response.setHeader('content-type', asset.type).end(asset.body);
  try {
    const [status, headers, body] = await render(request);
    response.writeHead(status, headers).end(body);
  } catch (error) {
    console.error(error);
    response.writeHead(500).end();
  }
});
server.listen(Number(port), host);
process.on('SIGTERM', () => server.close(() => process.exit(0)));
