import { boards, findBoard, formatRamRange } from './data/boards.js';
import { describeRequest } from './data/request.js';
import { Board } from './pages/board.jsx';
import { Boards } from './pages/boards.jsx';
import Guide from './pages/guide.mdx';
import { Home } from './pages/home.jsx';
import HowItWorks from './pages/how-it-works.mdx';
import { Memory } from './pages/memory.jsx';
import { NotFound } from './pages/not-found.jsx';
import { RequestPage } from './pages/request.jsx';
import { matchPattern, splitUrl } from './router.js';

const routes = [
  {
    pattern: '/',
    title: 'Server-rendered websites on very small computers',
    description:
      'containerd-shim-ssr runs server-rendered websites in WebAssembly as OCI containers, on a Raspberry Pi Zero or anything larger.',
    Page: Home,
  },
  {
    pattern: '/how-it-works',
    title: 'How it works',
    description:
      'From a JavaScript bundle to a WebAssembly snapshot, an OCI image and a rendered page: what happens at build time and on each request.',
    Page: HowItWorks,
    prose: true,
  },
  {
    pattern: '/guide',
    title: 'Guide',
    description:
      'Run this site with make demo, with docker run, on a k3s cluster or without a container engine, and build your own.',
    Page: Guide,
    prose: true,
  },
  {
    pattern: '/boards',
    title: 'Boards',
    description:
      'Nine Raspberry Pi models from the 1 B+ to the Pi 5: processor, memory, 32-bit or 64-bit, and the WebAssembly back end for each.',
    Page: Boards,
  },
  {
    pattern: '/boards/:id',
    find: (params) => findBoard(params.id),
    title: (board) => board.name,
    description: (board) =>
      `${board.name}: ${board.soc}, ${board.cores} × ${board.core}, ${formatRamRange(board.ram)} of memory, and how it runs server-rendered sites.`,
    Page: Board,
  },
  {
    pattern: '/memory',
    title: 'Memory budget',
    description:
      'Calculate how many server-rendered sites fit into the memory of a Raspberry Pi.',
    Page: Memory,
  },
  {
    pattern: '/request',
    title: 'Your request',
    description:
      'What the server received with this request, rendered into the page.',
    load: describeRequest,
    Page: RequestPage,
  },
];

const notFound = {
  title: 'Page not found',
  description: 'There is no page at this address.',
  Page: NotFound,
};

/** The paths of all pages. */
export const pages = routes.flatMap((route) =>
  route.pattern.includes(':')
    ? boards.map((board) => route.pattern.replace(':id', board.id))
    : [route.pattern],
);

const text = (value, item) =>
  typeof value === 'function' ? value(item) : value;

/** The page at a URL: its component, title, description and status. */
export function resolve(url) {
  const { path, query } = splitUrl(url);
  for (const route of routes) {
    const params = matchPattern(route.pattern, path);
    if (!params) continue;
    const item = route.find?.(params);
    if (route.find && !item) break;
    return page(route, 200, path, query, item);
  }
  return page(notFound, 404, path, query);
}

function page(route, status, path, query, item) {
  return {
    status,
    path,
    query,
    item,
    Page: route.Page,
    prose: route.prose,
    load: route.load,
    title: `${text(route.title, item)} · containerd-shim-ssr`,
    description: text(route.description, item),
  };
}
