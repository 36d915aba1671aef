// Blob, File, FormData, and the bodies that are made of them.

const show = (value) =>
  value instanceof File
    ? { name: value.name, type: value.type, size: value.size }
    : value;
const entries = (form) => [...form].map(([name, value]) => [name, show(value)]);
const form = (...list) => {
  const data = new FormData();
  for (const args of list) data.append(...args);
  return data;
};
const file = (text, name, options) => new File([text], name, options);

/** What `formData()` makes of lines of multipart. */
const parsed = async (...lines) =>
  entries(
    await new Response(lines.join('\r\n'), {
      headers: { 'content-type': 'multipart/form-data; boundary=B' },
    }).formData(),
  );
const part = (...lines) => parsed('--B', ...lines, '--B--', '');
const typed = (type, body = 'a=1&b=%C3%A4+c&a') =>
  new Response(body, { headers: { 'content-type': type } }).formData();

export const cases = {
  // Blob.
  'a blob of everything': async () => {
    const blob = new Blob(
      [
        'aä\ud800',
        bytes(98),
        bytes(1, 99, 2).subarray(1, 2),
        bytes(100).buffer,
        new Blob(['e']),
        5,
        null,
        undefined,
        {},
      ],
      { type: 'Text/X' },
    );
    return [await blob.text(), blob.size, blob.type];
  },
  'an empty blob': () => all(new Blob(), 'size type'),
  'a blob of a set': () => new Blob(new Set(['a', 'b'])).text(),
  'a blob of a text': () => new Blob('abc'),
  'a blob of a number': () => new Blob(5),
  'a blob of null': () => new Blob(null),
  'a blob of an object': () => new Blob({}),
  'a blob of a symbol': () => new Blob([Symbol('x')]),
  'null as options of a blob': () => new Blob([], null).type,
  'a number as options of a blob': () => new Blob([], 5),
  'endings as they are': () =>
    new Blob(['a\r\nb\r'], { endings: 'transparent' }).text(),
  'other endings': () => new Blob([], { endings: 'x' }),
  types: () =>
    ['A/B', 'ä', 'a\n', '', null, undefined, 'a b;C'].map(
      (type) => new Blob([], { type }).type,
    ),
  slices: () =>
    Promise.all(
      [
        [],
        [1],
        [1, 3],
        [-2],
        [-3, -1],
        [3, 1],
        [0, 99],
        [undefined, 2],
        [0, undefined],
      ].map((range) => new Blob(['abcde']).slice(...range).text()),
    ),
  'the type of a slice': () => [
    new Blob(['a'], { type: 'a/b' }).slice().type,
    new Blob(['a'], { type: 'a/b' }).slice(0, 1, 'C/D').type,
  ],
  'a slice of a file is a blob': () => {
    const slice = file('abc', 'x').slice(1);
    return [slice instanceof File, slice instanceof Blob];
  },
  'reading a blob': async () => {
    const blob = new Blob(['aä']);
    const chunks = await collect(blob.stream());
    return [
      chunks.map((chunk) => [...chunk]),
      [...new Uint8Array(await blob.arrayBuffer())],
      await blob.text(),
      await blob.text(),
    ];
  },
  'the bytes of a blob are copied': async () => {
    const mine = bytes(97);
    const blob = new Blob([mine]);
    mine[0] = 98;
    new Uint8Array(await blob.arrayBuffer())[0] = 99;
    return blob.text();
  },
  'a blob with a byte order mark': async () =>
    (await new Blob(['\ufeffa']).text()).length,
  'blobs and files are named': () =>
    [new Blob(), file('', '')].map((it) => Object.prototype.toString.call(it)),

  // File.
  'a file': async () => {
    const it = file('abc', 'n', { type: 'A/B', lastModified: 5 });
    return [all(it, 'name size type lastModified'), await it.text()];
  },
  'a file is of now': () =>
    Math.abs(file('', '').lastModified - Date.now()) < 1000,
  'a file with a surrogate in its name': () => file('', '\ud800').name,
  'a file without a name': () => new File([]),
  'a file of nothing': () => new File(),
  'undefined as the name of a file': () => new File([], undefined).name,
  'a file of a text': () => new File('a', 'b'),

  // FormData.
  'entries of a form': () =>
    entries(form(['a', '1'], ['b', 2], ['a', null], ['c', '\ud800'])),
  'files of a form': () =>
    entries(
      form(
        ['a', new Blob(['x'], { type: 'a/b' })],
        ['a', new Blob(['x']), 'name'],
        ['a', file('x', 'f')],
        ['a', file('x', 'f', { type: 'c/d' }), 'g'],
      ),
    ),
  'a file stays the same object': () => {
    const one = file('x', 'f');
    return form(['a', one]).get('a') === one;
  },
  'get, getAll, has': () => {
    const data = form(['a', '1'], ['a', '2']);
    return [
      data.get('a'),
      data.get('b'),
      data.getAll('a'),
      data.getAll('b'),
      data.has('a'),
      data.has('b'),
    ];
  },
  'set and delete': () => {
    const data = form(['a', '1'], ['b', '2'], ['a', '3'], ['c', '4']);
    data.set('a', 'x');
    data.set('d', 'y');
    data.delete('c');
    return entries(data);
  },
  'keys, values, forEach': () => {
    const data = form(['b', '1'], ['a', '2']);
    const seen = [];
    data.forEach((value, name, it) => {
      seen.push(value, name, it === data);
    });
    return [[...data.keys()], [...data.values()], seen];
  },
  'a file name for a text': () => form(['a', 'b', 'c']),
  'one argument': () => form(['a']),
  'set with one argument': () => new FormData().set('a'),
  'a form of something': () => new FormData({}),
  'forms are named': () => [
    Object.prototype.toString.call(new FormData()),
    Object.prototype.toString.call(new FormData().keys()),
  ],

  // Bodies.
  'a response of a blob': async () => {
    const response = new Response(new Blob(['aä'], { type: 'x/y' }));
    return [type(response), await response.text()];
  },
  'a response of a blob without a type': () =>
    type(new Response(new Blob(['a']))),
  'a request of a blob': async () => {
    const request = post(new Blob(['a'], { type: 'x/y' }));
    return [type(request), await request.text()];
  },
  'blob of a response': async () => {
    const blob = await new Response('aä').blob();
    return [blob.type, blob.size, blob instanceof Blob];
  },
  'types of blobs of responses': async () => {
    const types = [
      'Text/HTML; Charset="a b";x=y',
      'x',
      '',
      'a/b;c',
      'a/b; c=d;c=e; f="g\\"h"',
      'a /b',
      'a/b ; c= d ',
    ];
    const seen = [];
    for (const value of types) {
      const response = new Response('', { headers: { 'content-type': value } });
      seen.push((await response.blob()).type);
    }
    return seen;
  },
  'a response of a form': async () => {
    const response = new Response(
      form(
        ['a\n"b', 'c\nd'],
        ['ä', file('x\ny', 'n"\r\nm', { type: 'x/y' })],
        ['f', new Blob(['z'])],
      ),
    );
    const kind = type(response).replace(/-[^-]*$/, '');
    const boundary = type(response).split('boundary=')[1];
    const text = (await response.text()).replaceAll(boundary, 'BOUNDARY');
    return [kind.split(';')[0], text];
  },
  'a form there and back': async () =>
    entries(
      await new Response(
        form(
          ['a\n"b', 'c\nd'],
          ['ä', file('x\ny', 'n"m', { type: 'x/y' })],
          ['e', ''],
        ),
      ).formData(),
    ),
  'bytes of a file there and back': async () => {
    const all = Uint8Array.from({ length: 256 }, (_, index) => index);
    const data = await new Response(form(['a', new Blob([all])])).formData();
    const back = new Uint8Array(await data.get('a').arrayBuffer());
    return [back.length, back.every((byte, index) => byte === index)];
  },
  'formData of a URL-encoded body': async () =>
    entries(await typed('application/x-www-form-urlencoded')),
  'formData with parameters': async () =>
    entries(await typed('Application/X-WWW-Form-URLEncoded; charset=UTF-8')),
  'formData of a text': () => typed('text/plain'),
  'formData without a type': () => new Response(bytes()).formData(),
  'formData twice': async () => {
    const response = new Response(new URLSearchParams('a=1'));
    return [
      entries(await response.formData()),
      await twice(response, 'formData'),
    ];
  },
  'formData without a boundary': () => typed('multipart/form-data'),
  'formData of nothing': () => typed('multipart/form-data; boundary=B', ''),
  'formData of an empty form': () => parsed('--B--', ''),
  'a field': () => part('Content-Disposition: form-data; name="a"', '', 'b'),
  'a field with an empty value': () =>
    part('Content-Disposition: form-data; name="a"', '', ''),
  'a field of lines': () =>
    part('content-disposition: form-data; name="a"', '', 'b', '', '--C', ''),
  'a field with escapes': () =>
    part('Content-Disposition: form-data; name="a%22%0D%0A%25"', '', 'b'),
  'a field with a type': () =>
    part(
      'Content-Disposition: form-data; name="a"',
      'Content-Type: x/y',
      '',
      'b',
    ),
  'a file that was sent': () =>
    part(
      'Content-Disposition: form-data; name="a"; filename="f.txt"',
      'Content-Type: x/y',
      '',
      'b',
    ),
  'a file without a type that was sent': () =>
    part('Content-Disposition: form-data; name="a"; filename="f.txt"', '', 'b'),
  'another header': () =>
    part('X-Y: z', 'Content-Disposition: form-data; name="a"', '', 'b'),
  'a part without a name': () =>
    part('Content-Disposition: form-data', '', 'b'),
  'a part of another kind': () =>
    part('Content-Disposition: attachment; name="a"', '', 'b'),
  'a part without headers': () => part('', 'b'),
  'a form that is cut': () =>
    parsed('--B', 'Content-Disposition: form-data; name="a"', '', 'b'),
  'a form that is cut in its headers': () =>
    parsed('--B', 'Content-Disposition: form-data; name="a"'),
  'another boundary': () =>
    parsed('--C', 'Content-Disposition: form-data; name="a"', '', 'b', '--C--'),
};

export const beyondNode = {
  'native line ends': [
    () => new Blob(['a\r\nb\rc\nd\n\r'], { endings: 'native' }).text(),
    { gave: 'a\nb\nc\nd\n\n' },
  ],
  'a time with a fraction': [
    () => file('', '', { lastModified: 5.5 }).lastModified,
    { gave: 5 },
  ],
  'a file input without a file': [
    () =>
      part(
        'Content-Disposition: form-data; name="a"; filename=""',
        'Content-Type: application/octet-stream',
        '',
        '',
      ),
    {
      gave: [['a', { name: '', type: 'application/octet-stream', size: 0 }]],
    },
  ],
  'ends of slices are numbers, rounded to even ones': [
    () =>
      Promise.all(
        [
          [1.9, 2.9],
          [0.5, 1.5],
          [2.5],
          [-1.5],
          [Number.NaN, '3'],
          [null],
          ['x'],
        ].map((range) => new Blob(['abcde']).slice(...range).text()),
      ),
    { gave: ['c', 'ab', 'cde', 'de', 'abc', 'abcde', 'abcde'] },
  ],
};
