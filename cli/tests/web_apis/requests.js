// Request, as the fetch standard has it.

export const cases = {
  'the members of a request': () =>
    all(
      new Request(U),
      'method url destination referrer referrerPolicy mode credentials cache redirect integrity keepalive duplex bodyUsed isReloadNavigation isHistoryNavigation',
    ),
  'the URL is serialized': () => new Request('HTTP://h:80/a b/../ü?ü#ü').url,
  'a URL object': () => new Request(new URL('http://h/a')).url,
  'a URL with a surrogate': () => new Request('http://h/\ud800').url,
  'a path as URL': () => new Request('/a'),
  'no URL': () => new Request(),
  'undefined as URL': () => new Request(undefined),
  'a URL with a password': () => new Request('http://u:p@h/'),
  'a URL with a user': () => new Request('http://u@h/'),
  ...Object.fromEntries(
    [
      'get',
      'Post',
      'PUT',
      'delete',
      'head',
      'options',
      'PATCH',
      'patch',
      'foo',
    ].map((method) => [
      `the method ${method}`,
      () => new Request(U, { method }).method,
    ]),
  ),
  ...Object.fromEntries(
    ['connect', 'TRACE', 'track', 'a b', '', 'ü', '€'].map((method) => [
      `the method ${JSON.stringify(method)}`,
      () => new Request(U, { method }),
    ]),
  ),
  'null as method': () => new Request(U, { method: null }).method,
  'undefined as method': () => new Request(U, { method: undefined }).method,
  'null as options of a request': () => new Request(U, null).method,
  'a number as options of a request': () => new Request(U, 5),
  'a body for GET': () => new Request(U, { body: 'a' }),
  'a body for HEAD': () => new Request(U, { method: 'head', body: '' }),
  'null as body for GET': () => new Request(U, { body: null }).body,
  'undefined as body for GET': () => new Request(U, { body: undefined }).body,
  'a stream without duplex': () => post(stream()),
  'a generator without duplex': () => post(generate()),
  'a duplex that is not half': () => post(stream(), { duplex: 'full' }),
  'headers of a request': () => [
    ...new Request(U, { headers: { b: '1', A: '2' } }).headers,
  ],
  'a request of a request': async () => {
    const one = post('a', { headers: { x: '1' } });
    const two = new Request(one);
    return [
      two.method,
      [...two.headers],
      one.bodyUsed,
      await twice(two, 'text'),
      await twice(one, 'text'),
    ];
  },
  'a request of a request with another body': async () => {
    const one = post('a');
    const two = new Request(one, { body: 'b' });
    return [one.bodyUsed, await two.text(), await one.text(), type(two)];
  },
  'a request of a request with other headers': () => [
    ...new Request(new Request(U, { headers: { a: '1' } }), {
      headers: { b: '2' },
    }).headers,
  ],
  'a request of a request with another method': () =>
    new Request(post('a'), { method: 'GET' }),
  'a request of a request without a body': () => {
    const one = new Request(U, { method: 'PUT', headers: { a: '1' } });
    const two = new Request(one);
    return [two.method, two.headers.get('a'), one.bodyUsed, two.body];
  },
  'a request of a request that was read': async () => {
    const one = post('a');
    await one.text();
    return new Request(one);
  },
  'a request of a request that was read, with a body': async () => {
    const one = post('a');
    await one.text();
    return new Request(one, { body: 'b' }).text();
  },
  'a request of a request with a stream': async () => {
    const one = post(stream(encode('a')), { duplex: 'half' });
    const two = new Request(one);
    return [one.bodyUsed, await two.text()];
  },
  'options of a request': () =>
    all(
      new Request(U, {
        referrer: 'http://h.example/x',
        referrerPolicy: 'origin',
        mode: 'same-origin',
        credentials: 'omit',
        cache: 'only-if-cached',
        redirect: 'manual',
        integrity: 'sha256-x',
        keepalive: 1,
      }),
      'referrer referrerPolicy mode credentials cache redirect integrity keepalive',
    ),
  'options are inherited': () =>
    all(
      new Request(
        new Request(U, { redirect: 'error', credentials: 'include' }),
        { redirect: 'manual' },
      ).clone(),
      'redirect credentials',
    ),
  ...Object.fromEntries(
    Object.entries({
      referrerPolicy: 'x',
      mode: 'navigate',
      credentials: 'all',
      cache: 'only-if-cached',
      redirect: null,
      referrer: 'http://',
      signal: {},
      window: 'x',
      headers: null,
    }).map(([name, value]) => [
      `${value} as ${name}`,
      () => new Request(U, { [name]: value }),
    ]),
  ),
  'no referrer': () => new Request(U, { referrer: '' }).referrer,
  'a signal is followed': () => {
    const controller = new AbortController();
    const { signal } = new Request(U, { signal: controller.signal });
    const before = signal.aborted;
    controller.abort('why');
    return [
      before,
      signal.aborted,
      signal.reason,
      signal !== controller.signal,
    ];
  },
  'a signal of a clone is followed': () => {
    const controller = new AbortController();
    const one = new Request(U, { signal: controller.signal });
    const clone = new Request(one.clone());
    controller.abort('why');
    return clone.signal.reason;
  },
  'a signal that has aborted': () =>
    new Request(U, { signal: AbortSignal.abort('x') }).signal.reason,
  'null as signal': () => {
    const controller = new AbortController();
    const one = new Request(U, { signal: controller.signal });
    const two = new Request(one, { signal: null });
    controller.abort();
    return [one.signal.aborted, two.signal.aborted];
  },
  'a signal is there': () => {
    const request = new Request(U);
    return [
      request.signal instanceof AbortSignal,
      Object.is(request.signal, request.signal),
      request.signal.aborted,
    ];
  },
  'a clone of a request': async () => {
    const one = post('a', { headers: { a: '1' } });
    const two = one.clone();
    two.headers.set('a', '2');
    return [
      two.method,
      two.url,
      one.headers.get('a'),
      await one.text(),
      await two.text(),
    ];
  },
  'requests are named': () => [
    Request.name,
    Object.prototype.toString.call(new Request(U)),
  ],
};

export const beyondNode = {};
