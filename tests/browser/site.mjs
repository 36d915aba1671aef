// The running site, as the environment describes it:
//
//   SITE_URL        where a server of the site listens
//   SITE_DIST       the built site, such as images/site/dist
//   SITE_ENV        the environment that the server passes to render, as JSON
//   SCREENSHOT_DIR  where to write screenshots; none are taken without it

import { readFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

export const missingPage = '/no/such/page';

/** Reads the settings. Throws an error that says which one is missing. */
export function readSettings() {
  const { SITE_URL, SITE_DIST, SITE_ENV, SCREENSHOT_DIR } = process.env;
  if (!SITE_URL) {
    throw new Error(
      'SITE_URL is not set. Start a server of the site, such as `node node-server.mjs ../../images/site/dist 8080`, and set SITE_URL to its address.',
    );
  }
  if (!SITE_DIST) {
    throw new Error(
      'SITE_DIST is not set. Set it to the built site, such as ../../images/site/dist.',
    );
  }
  let env;
  try {
    env = JSON.parse(SITE_ENV);
  } catch {
    throw new Error(
      `SITE_ENV must be the environment the server renders with, as a JSON object, such as {"SSR_ARCH":"x86_64"}. It is ${SITE_ENV ?? 'not set'}.`,
    );
  }
  return {
    url: new URL(SITE_URL),
    dist: resolve(SITE_DIST),
    env,
    screenshots: SCREENSHOT_DIR && resolve(SCREENSHOT_DIR),
  };
}

/** Loads the site's server bundle into Node. */
export async function loadSite({ dist, env }) {
  const { pages, render } = await import(
    pathToFileURL(join(dist, 'server/entry-server.js'))
  );
  const template = await readFile(join(dist, 'template.html'), 'utf8');

  /** The status and HTML that Node renders for a request. */
  async function renderInNode(base, path, headers) {
    const request = new Request(new URL(path, base), { headers });
    const { html, head, status } = await render(path, {
      request,
      env,
      ctx: {},
    });
    const filled = template
      .replace('<!--app-head-->', () => head)
      .replace('<!--app-html-->', () => html);
    return { status, html: filled };
  }

  return { pages, renderInNode };
}

/** GET with these headers and no others but Host and Connection. */
export function get(base, path, headers = {}) {
  return new Promise((done, failed) => {
    const { hostname, port } = base;
    const options = { hostname, port, path, headers, agent: false };
    httpRequest(options, (answer) => {
      const chunks = [];
      answer.on('data', (chunk) => chunks.push(chunk));
      answer.on('error', failed);
      answer.on('end', () =>
        done({
          status: answer.statusCode,
          headers: answer.headers,
          body: Buffer.concat(chunks).toString('utf8'),
        }),
      );
    })
      .on('error', failed)
      .end();
  });
}
