// Turns the site's exports into one function that answers a request.

import { rawBody } from './fetch/body.js';
import { toBytes } from './fetch/byte_streams.js';
import { flattenHeaders, Headers } from './fetch/headers.js';
import { Incoming, Request } from './fetch/request.js';
import { Response } from './fetch/response.js';

const HTML = 'content-type\ntext/html; charset=utf-8\n';
const OUTLETS = /<!--\s*(ssr-outlet|app-html|app-head)\s*-->/g;

/** Splits index.html at its outlets: the texts, and the outlet between each two of them. */
function cutTemplate(template) {
  const texts = [];
  const outlets = [];
  let end = 0;
  for (const match of template.matchAll(OUTLETS)) {
    texts.push(template.slice(end, match.index));
    outlets.push(match[1] === 'app-head' ? 'head' : 'html');
    end = match.index + match[0].length;
  }
  texts.push(template.slice(end));
  if (!outlets.includes('html')) {
    throw new Error(
      'the template has no outlet for the page: add <!--ssr-outlet--> or <!--app-html--> where the page goes',
    );
  }
  return { texts, outlets, hasHead: outlets.includes('head') };
}

function fillTemplate(template, page) {
  const { html, head } = page;
  let text = template.texts[0];
  template.outlets.forEach((outlet, index) => {
    text += (outlet === 'head' ? head : html) + template.texts[index + 1];
  });
  if (head && !template.hasHead) {
    const at = text.indexOf('</head>');
    if (at >= 0) text = text.slice(0, at) + head + text.slice(at);
  }
  return text;
}

function flatPageHeaders(headers) {
  if (headers == null) return HTML;
  const flat = flattenHeaders(
    headers instanceof Headers ? headers : new Headers(headers),
  );
  return /(^|\n)content-type\n/.test(flat) ? flat : HTML + flat;
}

function describe(value) {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'an array' : typeof value;
}

/**
 * Looks up the site's export (`default.fetch`, then `render`) and returns the
 * function that answers one request. It is synchronous unless the site is not.
 */
export function makeSite(native, namespace, templateText) {
  const template = templateText == null ? null : cutTemplate(templateText);
  const exported = namespace.default;
  const fetchOf =
    exported && typeof exported.fetch === 'function' ? exported : null;
  const render =
    typeof namespace.render === 'function' ? namespace.render : null;
  if (fetchOf === null && render === null) {
    const names = Object.keys(namespace);
    throw new Error(
      'the module exports neither `default { fetch(request, env, ctx) }` nor `render(url, …)`; ' +
        (names.length > 0
          ? `it exports: ${names.join(', ')}`
          : 'it exports nothing'),
    );
  }

  // The head goes with the first chunk: a body that fails before it has a status of its own.
  async function streamOut(stream, respond) {
    let begun = false;
    for await (const chunk of stream) {
      const bytes = toBytes(chunk);
      if (!begun) respond();
      begun = true;
      native.write(bytes);
    }
    if (!begun) respond();
    native.end();
  }

  function deliverResponse(response, source) {
    if (response.type === 'error') {
      throw new TypeError(
        `${source} returned Response.error(), which has the invalid status 0; return a Response with another one`,
      );
    }
    const raw = rawBody(response);
    const stream =
      raw !== null && typeof raw === 'object' && !(raw instanceof Uint8Array);
    const respond = () =>
      native.respond(response.status, flattenHeaders(response.headers), stream);
    if (stream) return streamOut(raw, respond);
    respond();
    if (raw !== null) native.write(raw);
    native.end();
  }

  function deliverPage(page, source) {
    if (page instanceof Response) return deliverResponse(page, source);
    if (typeof page === 'string') page = { html: page };
    // As Vite's own example for Vue has it.
    if (Array.isArray(page) && page.length > 0 && page.length <= 2) {
      page = { html: page[0], head: page[1] };
    }
    if (
      page === null ||
      typeof page !== 'object' ||
      typeof page.html !== 'string'
    ) {
      const got =
        page !== null && typeof page === 'object'
          ? `an object whose html is ${describe(page.html)}`
          : describe(page);
      throw new TypeError(
        `${source} returned ${got}; return a string, { html, head, status, headers }, [html, head] or a Response`,
      );
    }
    const status = page.status ?? 200;
    if (!Number.isInteger(status) || status < 200 || status > 599) {
      throw new RangeError(
        `${source} returned the status '${status}'; it must be an integer from 200 to 599`,
      );
    }
    if (page.head != null && typeof page.head !== 'string') {
      throw new TypeError(
        `${source} returned an object whose head is ${describe(page.head)}; it must be a string`,
      );
    }
    native.respond(status, flatPageHeaders(page.headers), false);
    native.write(
      template === null
        ? page.html
        : fillTemplate(template, { html: page.html, head: page.head ?? '' }),
    );
    native.end();
  }

  return function answer(method, url, path, flatHeaders, body, env) {
    const later = [];
    const ctx = {
      waitUntil: (promise) => {
        // A failure of background work is logged, but does not fail the page.
        later.push(
          Promise.resolve(promise).catch((error) =>
            console.error('ctx.waitUntil:', error),
          ),
        );
      },
      passThroughOnException: () => {},
    };
    const request = new Request(url, new Incoming(method, flatHeaders, body));
    const call = () =>
      fetchOf
        ? fetchOf.fetch(request, env, ctx)
        : render(path, { request, env, ctx });
    const deliver = fetchOf
      ? (response) => {
          if (!(response instanceof Response)) {
            throw new TypeError(
              `fetch(request, env, ctx) returned ${describe(response)}; return a Response`,
            );
          }
          return deliverResponse(response, 'fetch(request, env, ctx)');
        }
      : (page) => deliverPage(page, 'render(url)');
    // Work that was registered by then, also by other such work, and by the body's stream.
    const finish = async () => {
      while (later.length > 0) await later.shift();
    };
    const finishAfter = async (error) => {
      await finish();
      throw error;
    };
    let sent;
    try {
      const result = call();
      sent =
        typeof result?.then === 'function'
          ? result.then(deliver)
          : deliver(result);
    } catch (error) {
      if (later.length === 0) throw error;
      return finishAfter(error);
    }
    // A page that is complete has no more occasion to register any.
    if (later.length === 0 && typeof sent?.then !== 'function') return sent;
    return Promise.resolve(sent).then(finish, finishAfter);
  };
}
