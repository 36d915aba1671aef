// Values of every kind that a site logs. Each is logged here and in Node, with the same text.

class Point {
  static count = 1;
  constructor() {
    this.x = 1;
  }
  get y() {
    throw new Error('a getter was called');
  }
}

class Tagged {
  get [Symbol.toStringTag]() {
    return 'Tag';
  }
}

class Pairs extends Map {}
class List extends Array {}
class NotFound extends Error {
  name = 'NotFound';
}

/** An error whose stack is the same in every engine. */
function error(made, stack) {
  made.stack = stack;
  return made;
}

export function values() {
  const cyclic = { a: 1, b: 'x', c: [1, 2, 3], d: { e: { f: { g: 1 } } } };
  cyclic.self = cyclic;
  cyclic.d.up = cyclic.d;
  const cause = error(new TypeError('inner'), 'TypeError: inner\n    at z');
  const outer = error(new Error('outer', { cause }), 'Error: outer\n    at y');
  const members = [error(new Error('one'), 'Error: one\n    at w')];
  return [
    cyclic,
    {
      get a() {
        throw 1;
      },
      set b(_) {},
      get c() {
        return 1;
      },
      set c(_) {},
    },
    new Point(),
    Point,
    class extends Point {},
    () => 1,
    function named() {},
    async () => {},
    function* generator() {},
    { method() {}, arrow: () => 1, Class: class {} },
    Object.assign(() => 1, { p: 1 }),
    new Map([
      [{ a: 1 }, 'b'],
      ['k', new Set([1, '2'])],
    ]),
    new Pairs([[1, 2]]),
    new List(3),
    new WeakMap(),
    new WeakSet(),
    Symbol('x'),
    10n,
    -0,
    null,
    undefined,
    true,
    Object.create(null),
    Object.create({}),
    { [Symbol('s')]: 1, 'a-b': 2 },
    { [Symbol.toStringTag]: 'Z', a: 1 },
    new Tagged(),
    // biome-ignore lint/suspicious/noSparseArray: that is what is logged.
    [, 1, , , 2],
    Object.assign([1], { k: 2 }),
    [[]],
    {},
    [{}],
    [[], [[[1]]]],
    { a: { b: { c: { d: 1 } } }, m: new Point() },
    new Date(0),
    [new Date(0), new Date(Number.NaN)],
    [/x/g],
    new Uint8Array([1, 2, 3]),
    new Float64Array(),
    new ArrayBuffer(4),
    new DataView(new ArrayBuffer(2)),
    [
      new Number(3),
      new String('ab'),
      new Boolean(false),
      Object(Symbol('q')),
      Object(1n),
    ],
    "it's",
    ["it's", 'say "x"', `a'b"c`, 'new\nline', '\u0000\u007f\\'],
    { a: 'x'.repeat(100), b: 1 },
    {
      aaaaaaaaaaaaaaaaaaaa: 'b'.repeat(22),
      cccccccccccccccc: 'd'.repeat(20),
      e: 1,
    },
    outer,
    { e: outer },
    error(
      new AggregateError(members, 'many'),
      'AggregateError: many\n    at q',
    ),
    error(
      Object.assign(new Error('coded'), { code: 'E1' }),
      'Error: coded\n    at x',
    ),
    error(new NotFound('gone'), 'NotFound: gone\n    at v'),
    new Headers({ a: 'b', 'content-type': 'x' }),
    new Headers(),
    new URL('http://h/p?a=1#z'),
    new URLSearchParams('a=1&b=2'),
    new URLSearchParams(),
    new AbortController(),
    AbortSignal.abort(),
    new Blob(['abc']),
    { headers: new Headers({ a: 'b' }), url: new URLSearchParams('x=y') },
    ...many(),
    ...settled(),
    ...proxies(),
    JSON,
    Math,
  ];
}

/** What takes more than a line: columns, rows and levels. */
function many() {
  const numbers = (length) => Array.from({ length }, (_, at) => at * 7);
  return [
    numbers(6),
    numbers(7),
    numbers(27),
    numbers(120),
    numbers(30).map((number) => number - 0.5),
    numbers(9).map(BigInt),
    'apple banana cherry dragonfruit elderberry fig grape'.split(' '),
    numbers(26).map((number) => `name ${number}`),
    numbers(12).map((number) => ({ number })),
    numbers(8).map((number) => [number]),
    numbers(7).map((number) => (number % 2 ? null : 'x'.repeat(number))),
    new Uint8Array(40).map((_, at) => at * 5),
    new Float64Array([1.5, -2]),
    { list: numbers(20), inner: { list: numbers(8) } },
    { a: { b: { c: {} } } },
    { a: { b: { c: 1 } }, d: 2 },
    [[[[]]], 1],
    [[[1, [2]]]],
  ];
}

function settled() {
  const rejected = Promise.reject('reason');
  rejected.catch(() => {});
  return [
    Promise.resolve({ a: 1 }),
    new Promise(() => {}),
    rejected,
    { p: Promise.resolve([1]) },
  ];
}

/** No trap may run. */
function proxies() {
  const trap = () => {
    throw new Error('a trap was run');
  };
  const traps = { get: trap, ownKeys: trap, getPrototypeOf: trap, has: trap };
  const revoked = Proxy.revocable({}, {});
  revoked.revoke();
  return [
    new Proxy({ a: 1 }, traps),
    new Proxy([1, 2], traps),
    new Proxy(() => {}, traps),
    { inner: new Proxy(new Map([[1, 2]]), traps) },
    revoked.proxy,
  ];
}

/** Calls of other methods than log. */
export function calls() {
  const nested = { a: { b: { c: { d: 1 } } } };
  return [
    [
      'table',
      [
        { a: 1, b: 'x' },
        { a: 2, c: true },
      ],
    ],
    [
      'table',
      [
        [1, 2],
        [3, 4],
      ],
    ],
    ['table', [1, 'two', { three: 3 }]],
    ['table', { first: { x: 1 }, second: { x: 2 } }],
    ['table', [{ a: 1, b: 2 }], ['b']],
    ['table', new Map([['k', 1]])],
    ['table', new Set(['s'])],
    ['table', []],
    ['table', 5],
    ['table', 'text'],
    ['dir', nested],
    ['dir', nested, { depth: 0 }],
    ['dir', nested, { depth: null }],
  ];
}

export function formats() {
  return [
    ['%s|%d|%j', { a: { b: {} } }, '42', { x: 1 }],
    ['%i %f %c|%O', '3.7', '2.5x', 'css', { a: { b: { c: { d: 1 } } } }],
    ['%s', 1n, Symbol('a'), -0, null, undefined],
    ['%d %d', 1n, 'x'],
    ['100%', 'x', '%s'],
    ['%%', '%', 'a\nb'],
    ['a', 1, { b: 2 }],
    ['%o', [1, { a: 2 }]],
  ];
}
