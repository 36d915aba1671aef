import { readFile } from 'node:fs/promises';

/**
 * Renders pages on the server in `vite dev` too, so that hydration is the same
 * as in production.
 */
export function devRender() {
  return {
    name: 'dev-render',
    apply: 'serve',
    configureServer(server) {
      // A returned function runs after Vite's own middleware.
      return () =>
        server.middlewares.use(async (message, answer, next) => {
          try {
            await respond(server, message, answer);
          } catch (error) {
            server.ssrFixStacktrace(error);
            next(error);
          }
        });
    },
  };
}

async function respond(server, message, answer) {
  const url = message.originalUrl;
  const source = await readFile(new URL('index.html', import.meta.url), 'utf8');
  const template = await server.transformIndexHtml(url, source);
  const { render } = await server.ssrLoadModule('/src/entry-server.jsx');

  const request = new Request(new URL(url, 'http://localhost'), {
    method: message.method,
    headers: message.headers,
  });
  const env = { SSR_SERVER: 'vite dev' };
  const result = await render(url, { request, env, ctx: {} });

  if (result instanceof Response) {
    answer.writeHead(result.status, Object.fromEntries(result.headers));
    answer.end(await result.text());
    return;
  }
  answer.writeHead(result.status, {
    'content-type': 'text/html; charset=utf-8',
    ...result.headers,
  });
  answer.end(
    template
      .replace('<!--app-head-->', () => result.head)
      .replace('<!--app-html-->', () => result.html),
  );
}
