// Renders pages of a server bundle for bench-render: `node node-render.mjs ENTRY
// TEMPLATE`. Reads one {page, times} per line from stdin and answers each with
// {microseconds, size}: the mean processor time of a render, and the page's bytes.

import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const [entry, templatePath] = process.argv.slice(2);
const site = await import(pathToFileURL(entry));
const template = readFileSync(templatePath, 'utf8');
const headers = {
  accept: 'text/html',
  'accept-language': 'en',
  host: 'localhost',
  'user-agent': 'bench',
};

async function render(page) {
  const request = new Request(`http://localhost${page}`, { headers });
  const { html, head } = await site.render(page, {
    request,
    env: {},
    ctx: { waitUntil: () => {} },
  });
  const filled = template
    .replace('<!--app-head-->', () => head)
    .replace('<!--app-html-->', () => html);
  return Buffer.from(filled);
}

for await (const line of createInterface({ input: process.stdin })) {
  const { page, times } = JSON.parse(line);
  let size = 0;
  const start = process.cpuUsage();
  for (let i = 0; i < times; i++) size = (await render(page)).length;
  const { user, system } = process.cpuUsage(start);
  console.log(JSON.stringify({ microseconds: (user + system) / times, size }));
}
