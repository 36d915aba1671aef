// The bodies of requests and responses, as the fetch standard has them.

// What bodies can be made from, with their Content-Types.
const bodies = {
  'a string': () => 'aä€',
  'an empty string': () => '',
  'a string with lone surrogates': () => 'a\ud800b\udc00',
  'a string with a byte order mark': () => '\ufeffa\ufeff',
  'a String object': () => new String('x'),
  bytes: () => bytes(97, 98),
  'an empty view': () => bytes(),
  'a part of a buffer': () => bytes(97, 98, 99).subarray(1),
  'an ArrayBuffer': () => bytes(97, 98).buffer,
  'a DataView': () => new DataView(bytes(97, 98, 99).buffer, 1, 1),
  'another typed array': () => new Uint16Array([0x6261]),
  'bytes that are no UTF-8': () => bytes(0xff, 0xe2, 0x82),
  URLSearchParams: () => new URLSearchParams({ a: 'ä b' }),
  'a number': () => 5,
  zero: () => 0,
  false: () => false,
  'an array': () => [1, 2],
  'an object': () => ({ a: 1 }),
  'an object that has a text': () => ({ toString: () => 'text' }),
  'a URL': () => new URL(U),
  'a Date without a time': () => new Date(Number.NaN),
  'a symbol': () => Symbol('a'),
  'an async generator of bytes': () => generate(encode('a'), encode('b')),
  'an async generator of strings': () => generate('a', 'ä'),
  'an async generator of nothing': () => generate(),
  'an async generator of something else': () => generate({}),
  'an async iterable': () => ({
    [Symbol.asyncIterator]: () => generate('x', 'y'),
  }),
  'a generator': () =>
    (function* () {
      yield 'a';
    })(),
};
const streams = {
  'a stream of bytes': () => stream(encode('a'), encode('b')),
  'a stream of nothing': () => stream(),
  'a stream of strings': () => stream('a'),
  'a stream of numbers': () => stream(1),
  'a stream that fails': () =>
    new ReadableStream({
      pull() {
        throw new RangeError('x');
      },
    }),
};

const reads = ['text', 'arrayBuffer', 'json'];

export const cases = {
  ...Object.fromEntries(
    Object.entries({ ...bodies, ...streams }).flatMap(([name, make]) => [
      [
        `a response of ${name}`,
        async () => {
          const response = new Response(make());
          return [type(response), await response.text()];
        },
      ],
      [
        `bytes of a response of ${name}`,
        async () => [
          ...new Uint8Array(await new Response(make()).arrayBuffer()),
        ],
      ],
      [
        `a request of ${name}`,
        async () => {
          const request = post(make(), { duplex: 'half' });
          return [type(request), await request.text()];
        },
      ],
      [
        `a stream of a response of ${name}`,
        async () => {
          let length = 0;
          for await (const chunk of new Response(make()).body)
            length += chunk.length;
          return length;
        },
      ],
      [
        `a clone of a response of ${name}`,
        async () => {
          const response = new Response(make());
          const clone = response.clone();
          return [await clone.text(), await response.text(), type(clone)];
        },
      ],
    ]),
  ),

  ...Object.fromEntries(
    reads.flatMap((one) =>
      reads.map((two) => [
        `${one} and then ${two}`,
        () => twice(new Response('{"a":1}'), one, two),
      ]),
    ),
  ),
  'no body can be read again and again': () =>
    twice(new Response(), 'text', 'text', 'arrayBuffer', 'json'),
  'an empty body is a body': () => twice(new Response(''), 'text', 'text'),
  'JSON that is none': () => new Response('{').json(),
  'JSON with a byte order mark': () => new Response('\ufeff1').json(),
  'body is a stream, and the same one': () => {
    const response = new Response('a');
    return [
      response.body instanceof ReadableStream,
      Object.is(response.body, response.body),
      response.bodyUsed,
      response.body.locked,
    ];
  },
  'body of nothing': () => [
    new Response().body,
    new Response(null).body,
    new Request(U).body,
  ],
  'reading the stream uses the body': async () => {
    const response = new Response('abc');
    const reader = response.body.getReader();
    const before = response.bodyUsed;
    await reader.read();
    return [before, response.bodyUsed, await twice(response, 'text')];
  },
  'a reader without a read locks the body': async () => {
    const response = new Response('abc');
    const reader = response.body.getReader();
    const locked = await twice(response, 'text');
    reader.releaseLock();
    return [locked, await twice(response, 'text')];
  },
  'body after reading': async () => {
    const response = new Response('abc');
    await response.text();
    const body = response.body;
    return [body instanceof ReadableStream, response.bodyUsed];
  },
  'a body can be read into a buffer': async () => {
    const reader = new Response('abc').body.getReader({ mode: 'byob' });
    const { value } = await reader.read(new Uint8Array(2));
    return [...value];
  },
  'cancelling uses the body': async () => {
    const response = new Response('abc');
    await response.body.cancel();
    return [response.bodyUsed, await twice(response, 'text')];
  },
  'the bytes are copied from the caller': async () => {
    const mine = bytes(97);
    const response = new Response(mine);
    const request = post(mine.buffer);
    mine[0] = 98;
    return [await response.text(), await request.text()];
  },
  'the bytes are copied for the reader': async () => {
    const response = new Response(bytes(97));
    const clone = response.clone();
    new Uint8Array(await response.arrayBuffer())[0] = 98;
    return clone.text();
  },
  'a stream that is locked': () => {
    const locked = stream();
    locked.getReader();
    return new Response(locked);
  },
  'a stream that was read': async () => {
    const read = stream(encode('a'));
    const reader = read.getReader();
    await reader.read();
    reader.releaseLock();
    return new Response(read);
  },
  'a generator ends when its reader does': async () => {
    const seen = [];
    const response = new Response(
      (async function* () {
        try {
          yield 'a';
          yield 'b';
        } finally {
          seen.push('ended');
        }
      })(),
    );
    for await (const chunk of response.body) {
      seen.push(chunk.length);
      break;
    }
    return seen;
  },
  'a generator that throws': async () => {
    const response = new Response(
      (async function* () {
        yield 'a';
        throw new RangeError('x');
      })(),
    );
    return response.text();
  },
  'a generator does not begin before it is read': async () => {
    let begun = false;
    const response = new Response(
      (async function* () {
        begun = true;
        yield 'a';
      })(),
    );
    await later(2);
    const before = begun;
    await response.text();
    return [before, begun];
  },
  'bytes of a body': async () => [...(await new Response('aä').bytes())],
  'methods need a body': () => Response.prototype.text.call({}),
  'a clone after reading': async () => {
    const response = new Response('a');
    await response.text();
    return response.clone();
  },
  'a clone of a request after reading': async () => {
    const request = post('a');
    await request.text();
    return request.clone();
  },
  'a clone while the body is locked': () => {
    const response = new Response('a');
    response.body.getReader();
    return response.clone();
  },
  'a clone has headers of its own': () => {
    const response = new Response('a', { headers: { a: '1' } });
    const clone = response.clone();
    clone.headers.set('a', '2');
    return [response.headers.get('a'), clone.headers.get('a')];
  },
  'a clone of a stream': async () => {
    const response = new Response(stream(encode('a'), encode('b')));
    const clone = response.clone();
    return [await response.text(), await clone.text()];
  },
};

export const beyondNode = {
  'textStream of a body': [
    async () => [
      await collect(new Response('aä').textStream()),
      await collect(new Response().textStream()),
      await collect(
        post(stream(bytes(0xe2, 0x82), bytes(0xac)), {
          duplex: 'half',
        }).textStream(),
      ),
      await collect(new Blob(['b']).textStream()),
    ],
    { gave: [['aä'], [], ['€'], ['b']] },
  ],
  'textStream of a body that was read': [
    async () => {
      const response = new Response('a');
      await response.text();
      return response.textStream();
    },
    { threw: 'TypeError' },
  ],
  'an async generator with empty chunks': [
    () => new Response(generate('', 'a', '', 'b', '')).text(),
    { gave: 'ab' },
  ],
};
