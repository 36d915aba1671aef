const links = [
  ['/how-it-works', 'How it works'],
  ['/guide', 'Guide'],
  ['/boards', 'Boards'],
  ['/memory', 'Memory'],
  ['/request', 'Request'],
];

export function Header({ path }) {
  return (
    <header class="site-header">
      <a class="wordmark" href="/" aria-current={path === '/' ? 'page' : null}>
        containerd-shim-<b>ssr</b>
      </a>
      <nav aria-label="Pages">
        <ul class="pins">
          {links.map(([href, name]) => (
            <li key={href}>
              <a href={href} aria-current={current(path, href)}>
                {name}
              </a>
            </li>
          ))}
        </ul>
      </nav>
    </header>
  );
}

function current(path, href) {
  if (path === href) return 'page';
  return path.startsWith(`${href}/`) ? 'true' : null;
}
