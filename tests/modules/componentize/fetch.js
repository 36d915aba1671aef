addEventListener('fetch', (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  const { pathname, search } = new URL(request.url);
  const body = await request.text();
  const headers = { 'content-type': 'text/plain' };
  return new Response(`${request.method} ${pathname}${search} ${body}`.trim(), {
    headers,
  });
}
