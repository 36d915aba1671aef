/**
 * Matches a path against a pattern such as `/boards/:id`.
 * Returns the parameters, or null if it does not match.
 */
export function matchPattern(pattern, path) {
  const wanted = pattern.split('/');
  const given = path.split('/');
  if (wanted.length !== given.length) return null;
  const params = {};
  for (let i = 0; i < wanted.length; i++) {
    if (wanted[i].startsWith(':')) params[wanted[i].slice(1)] = given[i];
    else if (wanted[i] !== given[i]) return null;
  }
  return params;
}

/** Splits a URL without its origin into path and query; the fragment is dropped. */
export function splitUrl(url) {
  const hash = url.indexOf('#');
  const clean = hash < 0 ? url : url.slice(0, hash);
  const mark = clean.indexOf('?');
  return mark < 0
    ? { path: clean, query: '' }
    : { path: clean.slice(0, mark), query: clean.slice(mark + 1) };
}

/**
 * Handles clicks on links within the site. `navigate(url, kind)` shows the page;
 * kind is 'push' for a click and 'pop' for back and forward.
 */
export function interceptNavigation(navigate) {
  let current = location.pathname + location.search;

  document.addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
      return;
    const link = event.target.closest?.('a[href]');
    if (!link || link.target || link.hasAttribute('download')) return;
    if (link.origin !== location.origin || link.rel.includes('external'))
      return;
    const url = link.pathname + link.search;
    if (url === current && link.hash) return;
    event.preventDefault();
    if (link.href !== location.href) history.pushState(null, '', link.href);
    current = url;
    navigate(url, 'push');
  });

  window.addEventListener('popstate', () => {
    const url = location.pathname + location.search;
    if (url === current) return;
    current = url;
    navigate(url, 'pop');
  });
}
