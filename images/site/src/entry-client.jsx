import { hydrate, render } from 'preact';
import { App } from './app.jsx';
import { interceptNavigation } from './router.js';
import { resolve } from './routes.jsx';

// In development, Preact reports hydration mismatches.
if (import.meta.env.DEV) await import('preact/debug');

const root = document.getElementById('app');
const state = JSON.parse(document.getElementById('state').textContent);

hydrate(<App {...state} />, root);
document.documentElement.dataset.hydrated = '';

let latest = 0;

interceptNavigation(async (url, kind) => {
  const turn = ++latest;
  const page = resolve(url);
  let data = null;
  if (page.load) {
    try {
      const response = await fetch(url, {
        headers: { accept: 'application/json' },
      });
      if (!response.ok) throw new Error(`status ${response.status}`);
      data = await response.json();
    } catch {
      // Fall back to loading the whole page from the server.
      location.assign(url);
      return;
    }
    if (turn !== latest) return;
  }

  render(<App url={url} env={state.env} data={data} />, root);
  document.title = page.title;
  document
    .querySelector('meta[name="description"]')
    .setAttribute('content', page.description);

  if (kind === 'push') {
    const target = location.hash
      ? document.getElementById(location.hash.slice(1))
      : null;
    if (target) target.scrollIntoView();
    else window.scrollTo(0, 0);
  }
  document.getElementById('main').focus({ preventScroll: true });
});
