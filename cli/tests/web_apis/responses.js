// Response, as the fetch standard has it.

export const cases = {
  'the members of a response': () =>
    all(
      new Response('a', { status: 201, statusText: 'Made' }),
      'type url redirected status ok statusText bodyUsed',
    ),
  'a response without arguments': () =>
    all(new Response(), 'type url redirected status ok statusText bodyUsed'),
  'undefined as body': () => new Response(undefined).body,
  'a status as text': () => new Response('', { status: '201' }).status,
  'a status with a fraction': () => new Response('', { status: 201.9 }).status,
  'a status that wraps around': () =>
    new Response('', { status: 65536 + 201 }).status,
  'undefined as status': () => new Response('', { status: undefined }).status,
  'null as status': () => new Response('', { status: null }),
  ...Object.fromEntries(
    [0, 99, 100, 101, 199, 600, 1000, -1, 'x', {}].map((status) => [
      `the status ${status}`,
      () => new Response(null, { status }),
    ]),
  ),
  ...Object.fromEntries(
    [204, 205, 304, 302, 404].flatMap((status) => [
      [`a body with ${status}`, () => new Response('', { status }).status],
      [`no body with ${status}`, () => new Response(null, { status }).status],
    ]),
  ),
  'a statusText with a line break': () =>
    new Response('', { statusText: 'a\nb' }),
  'a statusText beyond Latin-1': () => new Response('', { statusText: '€' }),
  'a statusText in Latin-1': () =>
    new Response('', { statusText: 'é\t' }).statusText,
  'null as options': () => new Response('', null).status,
  'a number as options': () => new Response('', 5),
  'a function as options': () => new Response('', () => {}).status,
  'null as headers': () => new Response('', { headers: null }),
  'its own Content-Type stays': () =>
    type(new Response('a', { headers: { 'content-type': 'x/y' } })),
  'an empty Content-Type stays': () =>
    type(new Response('a', { headers: { 'content-type': '' } })),
  'headers are copied': () => {
    const headers = new Headers({ a: '1' });
    const response = new Response('', { headers });
    headers.set('a', '2');
    return [response.headers === headers, response.headers.get('a')];
  },
  'headers stay the same object': () => {
    const response = new Response();
    return Object.is(response.headers, response.headers);
  },
  'a response cannot be assigned to': () => {
    const response = new Response();
    response.status = 404;
  },
  'Response.error': () =>
    all(Response.error(), 'type status ok statusText body'),
  'headers of Response.error': () => Response.error().headers.set('a', 'b'),
  'Response.json': async () => {
    const response = Response.json({ a: ['ä'] }, { status: 201 });
    return [response.status, type(response), await response.text()];
  },
  'Response.json of null': () => Response.json(null).text(),
  'Response.json of a text with surrogates': () =>
    Response.json('\ud800').text(),
  'Response.json of undefined': () => Response.json(undefined),
  'Response.json of nothing': () => Response.json(),
  'Response.json of a function': () => Response.json(() => {}),
  'Response.json of a circle': () => {
    const circle = {};
    circle.circle = circle;
    return Response.json(circle);
  },
  'Response.json of a big integer': () => Response.json(1n),
  'Response.json without a body': () => Response.json(1, { status: 204 }),
  'Response.json with a Content-Type': () =>
    type(Response.json(1, { headers: { 'content-type': 'x/y' } })),
  'Response.redirect': () => {
    const response = Response.redirect('https://h/日本 ?ü', 308);
    return [response.status, [...response.headers], response.body];
  },
  'Response.redirect to a URL object': () =>
    Response.redirect(new URL(U)).headers.get('location'),
  'Response.redirect by default': () => Response.redirect(U).status,
  'Response.redirect with undefined': () =>
    Response.redirect(U, undefined).status,
  'Response.redirect with a text': () => Response.redirect(U, '301').status,
  'Response.redirect with 200': () => Response.redirect(U, 200),
  'Response.redirect with 304': () => Response.redirect(U, 304),
  'Response.redirect to a path': () => Response.redirect('/a'),
  'Response.redirect to nothing': () => Response.redirect(),
  'Response.redirect with a surrogate': () =>
    Response.redirect('http://h/\ud800').headers.get('location'),
  'headers of Response.redirect': () =>
    Response.redirect(U).headers.set('a', 'b'),
  'headers of a clone of Response.redirect': () => {
    const clone = Response.redirect(U).clone();
    return [clone.status, clone.headers.get('location')];
  },
  'responses are named': () => [
    Response.name,
    `${Object.prototype.toString.call(new Response())}`,
  ],
  'it cannot be called without new': () => Response(),
};

export const beyondNode = {
  'a big integer as status': [
    () => new Response('', { status: 200n }),
    { threw: 'TypeError' },
  ],
};
