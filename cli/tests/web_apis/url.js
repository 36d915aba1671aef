// URL and URLSearchParams, as the URL standard has them.

const PARTS =
  'href origin protocol username password host hostname port pathname search hash';
const parts = (url) => PARTS.split(' ').map((name) => url[name]);
const changed = (href, change) => {
  const url = new URL(href);
  change(url);
  return parts(url);
};

const inputs = [
  'http://user:pass@h.example:8080/a/b?c=d#e',
  'HTTP://EXAMPLE.com:80/../a/./b/../c',
  'https://example.com:443',
  'http://h/日本?日本#日本',
  'http://日本.example/',
  'http://h/a b?c d#e f',
  'http://h/%zz%41?%zz#%zz',
  'http://h\\a\\b',
  '  http://h/\t\na ',
  'http://1.2/',
  'http://0x7f.1/',
  'http://[::1]:80/',
  'http://[1:2:0:0:5:0:0:0]/',
  'http://h:99999/',
  'http://h:/',
  'http://',
  'http:///h/',
  'http:h',
  '//h/',
  '/a',
  '',
  'a:b',
  'mailto:a@b.example?c#d',
  'data:text/plain,a b#c',
  'javascript:alert(1)  ',
  'file:///c:/a/../b',
  'file://host/a',
  'blob:http://h:80/a',
  'foo://H/A/../b',
  'foo://h:80/',
  'non-special:/..//p',
  'http://a%b/',
  'http://a b/',
  'http://a<b/',
  'http://xn--a/',
  'http://ｇｏ.example/',
  "http://h/?a='b'",
  "foo://h/?a='b'",
  'http://h/"<>`{}|^',
  'http://h/#"<>`{}|^',
  'http://h/?"<>`{}|^',
  'ws://h:80/',
  'http://user@/x',
  'http://@h/',
  'http://:@h/',
  'http://h?q',
  'http://h#f',
  'http://h/?',
  'http://h/#',
  'http://h/.%2e/a',
  'http://256.256.256.256/',
  'http://1e2/',
];

const relative = [
  ['b', 'http://h/a/c?d#e'],
  ['../../b', 'http://h/a/c'],
  ['?x', 'http://h/a?b#c'],
  ['#x', 'http://h/a?b#c'],
  ['', 'http://h/a?b#c'],
  ['//other/x', 'https://h/a'],
  ['/x', 'https://h:8443/a'],
  ['a', 'mailto:x'],
  ['#a', 'mailto:x'],
  ['http://other/', 'nonsense'],
  ['x', ''],
  ['c:/x', 'file:///a'],
];

const orError = (run) => {
  try {
    return run();
  } catch (error) {
    return `${error.name} ${error.code}`;
  }
};

export const cases = {
  'the properties can be enumerated': () => Object.keys(URL.prototype).sort(),
  ...Object.fromEntries(
    inputs.map((input) => [
      `parse ${JSON.stringify(input)}`,
      () => orError(() => parts(new URL(input))),
    ]),
  ),
  ...Object.fromEntries(
    relative.map(([input, base]) => [
      `parse ${JSON.stringify(input)} with ${base}`,
      () => orError(() => parts(new URL(input, base))),
    ]),
  ),
  'lone surrogates': () => parts(new URL('http://h/\ud800?\udc00#a\ud800b')),
  'a lone surrogate in the base': () => new URL('a', 'http://h/\ud800/b').href,
  'an object as URL': () => new URL({ toString: () => 'http://h/' }).href,
  'another URL as URL and as base': () =>
    new URL(new URL('a', 'http://h/'), new URL('http://x/')).href,
  'no argument': () => new URL(),
  'undefined as URL': () => new URL(undefined),
  'undefined as URL with a base': () => new URL(undefined, 'http://h/').href,
  'undefined as base': () => new URL('http://h/', undefined).href,
  'null as base': () => new URL('a', null),
  'a symbol as URL': () => new URL(Symbol('a')),
  canParse: () => [
    URL.canParse('http://h'),
    URL.canParse('a'),
    URL.canParse('a', 'http://h'),
    URL.canParse('\ud800', 'http://h'),
  ],
  'canParse without argument': () => URL.canParse(),
  parse: () => [
    URL.parse('http://h')?.href,
    URL.parse('a'),
    URL.parse('a', 'http://h')?.href,
  ],
  'it is written as its href': () => [
    `${new URL('http://h')}`,
    JSON.stringify(new URL('http://h')),
    Object.prototype.toString.call(new URL('http://h')),
  ],
  'set every part': () =>
    changed('http://h/a?b#c', (url) => {
      url.protocol = 'https';
      url.username = 'ü:@';
      url.password = 'p w';
      url.host = 'x.example:444';
      url.pathname = 'p q';
      url.search = 'r s';
      url.hash = 't u';
    }),
  'set what is refused': () =>
    changed('http://h:1/', (url) => {
      url.protocol = 'foo';
      url.host = '';
      url.host = 'a b';
      url.hostname = 'x:80';
      url.port = 'x';
      url.port = '99999';
    }),
  'set a port': () => changed('http://h:1/', (url) => (url.port = '80')),
  'set a port with more': () =>
    changed('http://h/', (url) => (url.port = '81x')),
  'set a port to nothing': () =>
    changed('http://h:1/', (url) => (url.port = '')),
  'set a host with a port': () =>
    changed('http://h:1/', (url) => (url.host = 'x:2/y')),
  'set a hostname with a path': () =>
    changed('http://h:1/', (url) => (url.hostname = 'x/y')),
  'set search and hash to nothing': () =>
    changed('http://h/?a#b', (url) => {
      url.search = '';
      url.hash = '';
    }),
  'set search and hash to their marks': () =>
    changed('http://h/?a#b', (url) => {
      url.search = '?';
      url.hash = '#';
    }),
  'set a pathname with marks': () =>
    changed('http://h/', (url) => (url.pathname = 'a?b#c/../d')),
  'set a pathname that begins like a host': () =>
    changed('foo:/a', (url) => (url.pathname = '//b')),
  'set a pathname that begins like a host, and then a search': () =>
    changed('foo:/a?b', (url) => {
      url.pathname = '//b//c';
      url.search = 'd';
      url.pathname = '/e';
    }),
  'set the pathname of an opaque path': () =>
    changed('mailto:a', (url) => (url.pathname = '/b')),
  'set the search of an opaque path': () =>
    changed('mailto:a ', (url) => (url.search = 'b')),
  'set a host of a file': () =>
    changed('file:///a', (url) => {
      url.port = '1';
      url.username = 'x';
      url.host = 'h';
    }),
  'set surrogates': () =>
    changed('http://h/', (url) => {
      url.pathname = '\ud800';
      url.search = '\ud800';
      url.hash = 'a\udc00';
    }),
  'set numbers': () =>
    changed('http://h/', (url) => {
      url.port = 81;
      url.search = null;
      url.hash = undefined;
    }),
  'set href': () =>
    changed('http://h/', (url) => (url.href = 'https://x/?y#z')),
  'set href to nonsense': () => changed('http://h/', (url) => (url.href = 'x')),
  'set origin does nothing': () => {
    return Object.getOwnPropertyDescriptor(URL.prototype, 'origin').set;
  },
  'the parameters follow the search': () => {
    const url = new URL('http://h/?a=1');
    const params = url.searchParams;
    url.search = '?b=2';
    return [params.get('a'), params.get('b'), params === url.searchParams];
  },
  'the parameters follow href': () => {
    const url = new URL('http://h/?a=1');
    const params = url.searchParams;
    url.href = 'http://x/?c=3';
    return [`${params}`, params === url.searchParams];
  },
  'the parameters stay the same when other parts change': () => {
    const url = new URL('http://h/?a=1');
    const params = url.searchParams;
    url.hash = 'x';
    url.pathname = 'y';
    params.append('b', '2');
    return [url.href, params === url.searchParams];
  },
  'the search follows the parameters': () => {
    const url = new URL('http://h/?a=~ b#c');
    const seen = [url.search];
    url.searchParams.append('x y', "ä'&");
    seen.push(url.href);
    url.searchParams.delete('a');
    url.searchParams.set('x y', 'z');
    url.searchParams.sort();
    seen.push(url.href);
    url.searchParams.delete('x y');
    return [...seen, url.href, url.search];
  },
  'searchParams cannot be set': () =>
    Object.getOwnPropertyDescriptor(URL.prototype, 'searchParams').set,
  'a loop over parameters that are deleted skips one': () => {
    const url = new URL('http://h/?a=1&b=2&c=3');
    for (const name of url.searchParams.keys()) url.searchParams.delete(name);
    return url.search;
  },
  'a loop over parameters sees a new search': () => {
    const url = new URL('http://h/?a=1&b=2&c=3');
    const seen = [];
    for (const [name] of url.searchParams) {
      seen.push(name);
      url.search = 'x=1&y=2&z=3';
    }
    return seen;
  },

  'params of a string': () => [...new URLSearchParams('?a=1&&b&=c&d=e=f&a')],
  'params of two question marks': () => [...new URLSearchParams('??a=1')],
  'params of escapes': () => [
    ...new URLSearchParams('a+b=%63%zz%&%E2%82%AC=%ff%e2%82'),
  ],
  'params of a lone surrogate': () =>
    `${new URLSearchParams('a=\ud800&\udc00')}`,
  'params of an object': () => [
    ...new URLSearchParams({ a: 1, b: undefined, c: null, d: ['x', 'y'] }),
  ],
  'params of an object with surrogates': () => [
    ...new URLSearchParams({ '\ud800': 1, '\ud801': 2 }),
  ],
  'params of pairs': () => [
    ...new URLSearchParams([
      ['a', 1],
      ['a', undefined],
    ]),
  ],
  'params of params': () => {
    const one = new URLSearchParams('a=1');
    const two = new URLSearchParams(one);
    two.append('b', '2');
    return [`${one}`, `${two}`];
  },
  'params of a Map': () => `${new URLSearchParams(new Map([['a', 1]]))}`,
  'params of a bad pair': () => new URLSearchParams([['a']]),
  'params of a list of numbers': () => new URLSearchParams([1]),
  'params of undefined': () => `${new URLSearchParams(undefined)}`,
  'params of a number': () => `${new URLSearchParams(1)}`,
  'params of a symbol': () => new URLSearchParams(Symbol('a')),
  'params are written as forms are': () =>
    `${new URLSearchParams([["a*-._~!'()+ ", 'ä€😀\ud800&=#%\0']])}`,
  'get, getAll, has and size': () => {
    const params = new URLSearchParams('a=1&b=2&a=3');
    return [
      params.get('a'),
      params.get('x'),
      params.getAll('a'),
      params.getAll('x'),
      params.has('b'),
      params.has('b', '2'),
      params.has('b', '3'),
      params.has('b', undefined),
      params.size,
    ];
  },
  'names are converted': () => new URLSearchParams('null=1&2=3').get(null),
  'append without a value': () => new URLSearchParams().append('a'),
  'set without a value': () => new URLSearchParams().set('a'),
  'get without a name': () => new URLSearchParams().get(),
  'delete without a name': () => new URLSearchParams().delete(),
  'append undefined': () => {
    const params = new URLSearchParams();
    params.append(undefined, undefined);
    return `${params}`;
  },
  'set keeps the first place': () => {
    const params = new URLSearchParams('a=1&b=2&a=3');
    params.set('a', '\ud800');
    return [...params];
  },
  'delete by value': () => {
    const params = new URLSearchParams('a=1&a=2&a=1');
    params.delete('a', 1);
    return `${params}`;
  },
  'sort is stable and by code unit': () => {
    const params = new URLSearchParams('z=1&ﬃ=2&🌈=3&a=4&z=0');
    params.sort();
    return [...params];
  },
  'params are iterated live': () => {
    const params = new URLSearchParams('a=1&b=2');
    const seen = [];
    for (const [name] of params) {
      seen.push(name);
      if (name === 'a') params.append('c', '3');
    }
    return seen;
  },
  'keys, values, entries': () => {
    const params = new URLSearchParams('a=1&b=2');
    return [[...params.keys()], [...params.values()], [...params.entries()]];
  },
  'a changed pair does not change the parameters': () => {
    const params = new URLSearchParams('a=1');
    for (const pair of params) pair[0] = 'x';
    return `${params}`;
  },
  'the iterator is named': () =>
    Object.prototype.toString.call(new URLSearchParams().keys()),
  forEach: () => {
    const seen = [];
    const params = new URLSearchParams('a=1');
    params.forEach(
      function (value, name, all) {
        seen.push(value, name, all === params, this.x);
      },
      { x: 1 },
    );
    return seen;
  },
  'forEach without a function': () => new URLSearchParams().forEach(1),
  'params can be enumerated': () =>
    Object.keys(URLSearchParams.prototype).sort(),
  'params need params': () => URLSearchParams.prototype.get.call({}, 'a'),
};

export const beyondNode = {
  'params of null': [() => `${new URLSearchParams(null)}`, { gave: 'null=' }],
};
