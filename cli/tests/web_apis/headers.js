// Headers, as the fetch standard has them.

const list = (headers) => [...headers];
const text = (code) => String.fromCharCode(code);

export const cases = {
  'an object gives lower-case names, sorted': () =>
    list(new Headers({ 'X-B': '1', 'x-a': '2' })),
  'pairs are joined': () =>
    list(
      new Headers([
        ['a', '1'],
        ['A', '2'],
      ]),
    ),
  'names of an object that differ in case are joined': () =>
    list(new Headers({ a: '1', A: '2' })),
  'another Headers is copied': () => {
    const one = new Headers({ a: '1', 'set-cookie': 'x' });
    one.append('set-cookie', 'y');
    const two = new Headers(one);
    two.set('a', '2');
    return [list(one), list(two)];
  },
  'a Map is a list of pairs': () => list(new Headers(new Map([['a', 1]]))),
  'a generator is a list of pairs': () =>
    list(
      new Headers(
        (function* () {
          yield ['a', 'b'];
        })(),
      ),
    ),
  'undefined is nothing': () => list(new Headers(undefined)),
  'null is refused': () => new Headers(null),
  'a string is refused': () => new Headers('a: b'),
  'a number is refused': () => new Headers(1),
  'a pair of one is refused': () => new Headers([['a']]),
  'a pair of three is refused': () => new Headers([['a', 'b', 'c']]),
  'a string instead of a pair': () => new Headers(['ab']),
  'undefined as a value': () => list(new Headers([['a', undefined]])),
  'null and numbers as values': () => list(new Headers({ a: null, b: 1.5 })),
  'an object as a value': () =>
    list(new Headers({ a: { toString: () => 'x' } })),
  'an array as a value': () => list(new Headers({ a: ['x', 'y'] })),
  'a symbol as a value': () => new Headers({ a: Symbol('x') }),
  'a symbol as a name': () => new Headers({ [Symbol('x')]: 'a' }),
  'inherited properties are left out': () =>
    list(new Headers(Object.create({ a: 'b' }))),
  'an empty name': () => new Headers({ '': 'a' }),
  'a name with a space': () => new Headers({ 'a b': 'c' }),
  'a name beyond ASCII': () => new Headers({ ä: 'c' }),
  'a name beyond Latin-1': () => new Headers().has('€'),
  'a value beyond Latin-1': () => new Headers({ a: '€' }),
  'a value in Latin-1': () => new Headers({ a: 'ä' }).get('a'),
  'a value with a line break': () => new Headers({ a: 'b\nc' }),
  'a value with a NUL': () => new Headers({ a: 'b\0c' }),
  'spaces around a value': () =>
    JSON.stringify(new Headers({ a: ' \t\r\n b c \n' }).get('a')),
  'a no-break space is no space': () =>
    new Headers({ a: `${text(0xa0)}b${text(0xa0)}` }).get('a').length,
  'an empty value': () => new Headers({ a: '' }).get('a'),
  'get of what is not there': () => new Headers().get('a'),
  'get without a name': () => new Headers().get(),
  'get with an invalid name': () => new Headers().get('a b'),
  'has without a name': () => new Headers().has(),
  'has with undefined': () => new Headers({ undefined: '1' }).has(undefined),
  'append with one argument': () => new Headers().append('a'),
  'set with one argument': () => new Headers().set('a'),
  'set with undefined': () => {
    const headers = new Headers();
    headers.set('a', undefined);
    return headers.get('a');
  },
  'set replaces, append adds': () => {
    const headers = new Headers({ a: '1' });
    headers.append('a', '2');
    headers.set('b', '1');
    headers.set('b', '2');
    return list(headers);
  },
  'delete is not case sensitive': () => {
    const headers = new Headers({ 'X-A': '1' });
    return [headers.delete('x-A'), list(headers)];
  },
  'delete without a name': () => new Headers().delete(),
  'cookies to set are not joined': () => {
    const headers = new Headers([
      ['set-cookie', 'a=1'],
      ['b', '2'],
      ['Set-Cookie', 'c=3'],
    ]);
    return [list(headers), headers.getSetCookie(), headers.get('set-cookie')];
  },
  'getSetCookie of nothing': () => new Headers().getSetCookie(),
  'iterators are live': () => {
    const headers = new Headers({ a: '1', c: '3' });
    const seen = [];
    for (const [name] of headers) {
      seen.push(name);
      if (name === 'a') headers.append('b', '2');
    }
    return seen;
  },
  'keys, values and entries': () => {
    const headers = new Headers({ b: '1', a: '2' });
    return [[...headers.keys()], [...headers.values()], [...headers.entries()]];
  },
  'iterators are iterable and named': () => {
    const keys = new Headers({ a: '1' }).keys();
    return [
      keys[Symbol.iterator]() === keys,
      Object.prototype.toString.call(keys),
      keys.next(),
      keys.next(),
    ];
  },
  'iterators have the helpers of all iterators': () =>
    Object.getPrototypeOf(Object.getPrototypeOf(new Headers().keys())) ===
    Object.getPrototypeOf(Object.getPrototypeOf([].values())),
  'the iterator is entries': () =>
    Headers.prototype[Symbol.iterator] === Headers.prototype.entries,
  'forEach gives value, name and headers, and this': () => {
    const seen = [];
    const headers = new Headers({ a: '1' });
    headers.forEach(
      function (value, name, all) {
        seen.push(value, name, all === headers, this.x);
      },
      { x: 5 },
    );
    return seen;
  },
  'forEach without a function': () => new Headers().forEach({}),
  'forEach without anything': () => new Headers().forEach(),
  'the members can be enumerated': () =>
    Object.keys(Headers.prototype).sort().join(),
  'its name': () => [
    Headers.name,
    Object.prototype.toString.call(new Headers()),
  ],
  'it cannot be called without new': () => Headers(),
  'its methods need Headers': () => Headers.prototype.get.call({}, 'a'),
  'Object.entries of it is empty': () =>
    Object.entries(new Headers({ a: '1' })),
};

export const beyondNode = {
  'properties that cannot be enumerated are left out': [
    () => list(new Headers(Object.defineProperty({}, 'a', { value: 'b' }))),
    { gave: [] },
  ],
};
