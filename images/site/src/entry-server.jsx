import { renderToString } from 'preact-render-to-string';
import { App } from './app.jsx';
import { escapeHtml, scriptJson } from './escape.js';
import { pages, resolve } from './routes.jsx';

export { pages };

/**
 * Renders one page. A pure function of its arguments: it uses no clock and no
 * random numbers, and keeps nothing between requests.
 */
export function render(url, { request, env = {} } = {}) {
  const page = resolve(url);

  if (page.status === 404) {
    const target = withoutTrailingSlash(url);
    if (target) {
      return new Response(null, {
        status: 308,
        headers: { location: target },
      });
    }
  }

  const data = page.load?.(url, request) ?? null;
  if (data && wantsJson(request)) {
    return new Response(JSON.stringify(data), {
      headers: { ...perRequest, 'content-type': 'application/json' },
    });
  }

  const state = { url, env: pickEnv(env), data };
  return {
    html: renderToString(<App {...state} />),
    head: `<title>${escapeHtml(page.title)}</title>
    <meta name="description" content="${escapeHtml(page.description)}">
    <script type="application/json" id="state">${scriptJson(state)}</script>`,
    status: page.status,
    headers: data ? perRequest : {},
  };
}

// HTML and JSON share one URL, and both contain the visitor's own data.
const perRequest = { 'cache-control': 'no-store', vary: 'accept' };

function wantsJson(request) {
  const accept = request?.headers.get('accept') ?? '';
  return accept.includes('application/json') && !accept.includes('text/html');
}

/** Selects the variables that the page shows; only these are sent to the browser. */
function pickEnv({ SSR_SERVER, SSR_ARCH, SSR_BACKEND, SSR_HOSTNAME }) {
  return { SSR_SERVER, SSR_ARCH, SSR_BACKEND, SSR_HOSTNAME };
}

/** The URL to redirect to if `url` is a page with trailing slashes, as in `/guide/`. */
function withoutTrailingSlash(url) {
  const [, path, rest] = /^(\/[^?#]*?)\/+(\?.*)?$/.exec(url) ?? [];
  return path && resolve(path).status === 200 ? path + (rest ?? '') : null;
}
