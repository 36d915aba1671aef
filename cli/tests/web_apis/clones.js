// structuredClone, as the HTML standard has it.

const tag = (value) => Object.prototype.toString.call(value);
const refused = (value) => () => structuredClone(value());
const described = (error) => [
  tag(error),
  error.constructor.name,
  error.name,
  error.message,
  Object.keys(error),
];

export const cases = {
  'primitive values': () =>
    [undefined, null, true, 1, Number.NaN, 'a\ud800', -0].map((value) =>
      Object.is(structuredClone(value), value),
    ),
  'a big integer': () => structuredClone(5n) === 5n,
  'objects and arrays': () =>
    structuredClone({ a: [1, { b: null }], c: 'd', e: undefined }),
  'a hole stays a hole': () => {
    const copy = structuredClone(new Array(3).fill(1, 1, 2));
    return [copy.length, 0 in copy, copy[1]];
  },
  'an array with a property': () =>
    structuredClone(Object.assign([1], { a: 2 })).a,
  'a circle': () => {
    const one = { list: [] };
    one.list.push(one);
    const copy = structuredClone(one);
    return [copy !== one, copy.list[0] === copy];
  },
  'what is one stays one': () => {
    const one = {};
    const copy = structuredClone([one, one, new Map([[one, one]])]);
    return [copy[0] === copy[1], copy[2].get(copy[0]) === copy[0]];
  },
  'a prototype is lost': () => {
    class Point {
      x = 1;
      get y() {
        return 2;
      }
    }
    const copy = structuredClone(new Point());
    return [copy, copy.constructor === Object];
  },
  'getters are called, symbols and hidden properties left out': () =>
    structuredClone(
      Object.defineProperty(
        {
          get a() {
            return 1;
          },
          [Symbol('b')]: 2,
        },
        'c',
        { value: 3 },
      ),
    ),
  'a getter that throws': refused(() => ({
    get a() {
      throw new RangeError('x');
    },
  })),
  'an object without a prototype': () =>
    structuredClone(Object.assign(Object.create(null), { a: 1 })),
  'a property called __proto__': () => {
    const copy = structuredClone(JSON.parse('{"__proto__":{"a":1}}'));
    return [Object.keys(copy), copy.a];
  },
  dates: () => [
    structuredClone(new Date(5)).getTime(),
    structuredClone(new Date(Number.NaN)).getTime(),
  ],
  'regular expressions': () => {
    const it = /a/gi;
    it.lastIndex = 5;
    const copy = structuredClone(it);
    return [`${copy}`, copy.lastIndex];
  },
  wrappers: () =>
    [new Boolean(false), new Number(5), new String('x'), Object(5n)].map(
      (it) => {
        const copy = structuredClone(it);
        return [tag(copy), `${copy}`, typeof copy];
      },
    ),
  'maps and sets': () => {
    const map = structuredClone(new Map([[{ a: 1 }, new Set([1, [2]])]]));
    const [[key, set]] = map;
    return [tag(map), key, [...set]];
  },
  buffers: () => {
    const one = bytes(1, 2, 3);
    const copy = structuredClone(one.buffer);
    one[0] = 9;
    return [tag(copy), [...new Uint8Array(copy)]];
  },
  views: () => {
    const { buffer } = bytes(1, 2, 3, 4, 5, 6, 7, 8);
    const copies = structuredClone([
      new Uint8Array(buffer, 1, 2),
      new DataView(buffer, 2, 3),
      new Uint16Array(buffer, 2),
      new Float64Array(buffer),
      new Uint8ClampedArray(buffer),
      new BigInt64Array(buffer),
    ]);
    return copies.map((copy) => [
      tag(copy),
      copy.byteOffset,
      copy.byteLength,
      copy.buffer === copies[0].buffer,
    ]);
  },
  'a resizable buffer': () => {
    const copy = structuredClone(new ArrayBuffer(2, { maxByteLength: 4 }));
    return [copy.byteLength, copy.maxByteLength, copy.resizable];
  },
  errors: () =>
    [
      new Error('m'),
      new TypeError('m'),
      Object.assign(new RangeError('m'), { extra: 1 }),
      Object.assign(new Error('m'), { name: 'Own' }),
      Object.assign(new Error('m'), { name: 'TypeError' }),
    ].map((error) => described(structuredClone(error))),
  'an error of a class': () => {
    class Own extends RangeError {}
    return described(structuredClone(new Own('m')));
  },
  'an error has its stack': () => {
    const error = new Error('m');
    return structuredClone(error).stack === error.stack;
  },
  'an error with a cause': () =>
    structuredClone(new Error('m', { cause: { a: 1 } })).cause,
  'transferring a buffer': () => {
    const one = bytes(1, 2);
    const copy = structuredClone({ one }, { transfer: [one.buffer] });
    return [[...copy.one], one.length, one.buffer.byteLength];
  },
  'transferring a buffer that is not in the value': () => {
    const { buffer } = bytes(1, 2);
    return [structuredClone(5, { transfer: [buffer] }), buffer.byteLength];
  },
  'nothing is transferred when the value is refused': () => {
    const { buffer } = bytes(1, 2);
    try {
      structuredClone([buffer, () => {}], { transfer: [buffer] });
    } catch (error) {
      return [error.name, buffer.byteLength];
    }
  },
  'transferring twice': () => {
    const { buffer } = bytes(1);
    return structuredClone(5, { transfer: [buffer, buffer] });
  },
  'transferring a number': () => structuredClone(5, { transfer: [5] }),
  'undefined as transfer': () => structuredClone(5, { transfer: undefined }),
  'null as options': () => structuredClone(5, null),
  'a number as options': () => structuredClone(5, 5),
  'no argument': () => structuredClone(),
  'a function': refused(() => () => {}),
  'a function in an object': refused(() => ({ a: [() => {}] })),
  'a class': refused(() => class {}),
  'a symbol': refused(() => Symbol('a')),
  'a symbol in an array': refused(() => [Symbol('a')]),
  'a promise': refused(() => Promise.resolve(1)),
  'a weak map': refused(() => new WeakMap()),
  'a weak set': refused(() => new WeakSet()),
  'a weak reference': refused(() => new WeakRef({})),
  'the exception': () => {
    try {
      structuredClone(() => {});
    } catch (error) {
      return [error instanceof DOMException, error.name, error.code];
    }
  },
  'a message is a copy': async () => {
    const { port1, port2 } = new MessageChannel();
    const seen = [];
    port2.onmessage = ({ data }) => seen.push(data);
    const message = { a: bytes(1) };
    port1.postMessage(message);
    port1.postMessage(message.a, [message.a.buffer]);
    const after = message.a.length;
    await later(30);
    port1.close();
    return [seen[0] !== message, [...seen[0].a], [...seen[1]], after];
  },
  'a message that cannot be copied': () => {
    const { port1 } = new MessageChannel();
    try {
      port1.postMessage(() => {});
    } finally {
      port1.close();
    }
  },
};

export const beyondNode = {
  'transferring an object': [
    () => structuredClone(5, { transfer: [{}] }),
    { threw: 'DataCloneError' },
  ],
  'objects of the platform': [
    () =>
      [
        new Headers(),
        new Request(U),
        new Response(),
        new URL(U),
        new URLSearchParams(),
        new Event('x'),
        new EventTarget(),
        new AbortController().signal,
        new ReadableStream(),
        new FormData(),
      ].map((it) => {
        try {
          structuredClone(it);
          return tag(it);
        } catch (error) {
          return error.code;
        }
      }),
    { gave: new Array(10).fill(25) },
  ],
  'files, blobs and exceptions': [
    async () => {
      const [blob, file, exception] = structuredClone([
        new Blob(['a'], { type: 'x/y' }),
        new File(['b'], 'n', { type: 'x/z', lastModified: 5 }),
        new DOMException('m', 'AbortError'),
      ]);
      return [
        [tag(blob), blob.type, await blob.text()],
        [tag(file), ...all(file, 'name type lastModified'), await file.text()],
        [tag(exception), ...all(exception, 'name message code')],
      ];
    },
    {
      gave: [
        ['[object Blob]', 'x/y', 'a'],
        ['[object File]', 'n', 'x/z', 5, 'b'],
        ['[object DOMException]', 'AbortError', 'm', 20],
      ],
    },
  ],
};
