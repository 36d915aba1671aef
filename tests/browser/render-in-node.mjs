// Prints every page of the site as Node renders it, as JSON, for a visitor whose only header says
// that it is `ask`. The environment is that of site.mjs.

import { loadSite, missingPage, readSettings } from './site.mjs';

const settings = readSettings();
const site = await loadSite(settings);
const headers = { 'user-agent': 'ask' };
const pages = [];
for (const path of [...site.pages, missingPage]) {
  const { status, html } = await site.renderInNode(settings.url, path, headers);
  pages.push({ path, status, html });
}
console.log(JSON.stringify(pages));
