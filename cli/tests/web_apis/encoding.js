// TextEncoder, TextDecoder and their streams, as the encoding standard has them.

const decoded = (values, options) =>
  new TextDecoder('utf-8', options).decode(bytes(...values));
const chunks = (all, options) => {
  const decoder = new TextDecoder('utf-8', options);
  return [
    ...all.map((values) => decoder.decode(bytes(...values), { stream: true })),
    decoder.decode(),
  ];
};
const through = async (transform, ...chunks) => {
  const writer = transform.writable.getWriter();
  for (const chunk of chunks) writer.write(chunk).catch(() => {});
  writer.close().catch(() => {});
  const seen = [];
  for await (const chunk of transform.readable)
    seen.push(typeof chunk === 'string' ? chunk : [...chunk]);
  return seen;
};

const sequences = {
  nothing: [],
  'a bad byte': [0x61, 0xff, 0x62],
  'an overlong form': [0xc0, 0x80],
  'another overlong form': [0xe0, 0x80, 0x80],
  'a surrogate': [0xed, 0xa0, 0x80],
  'beyond Unicode': [0xf4, 0x90, 0x80, 0x80],
  'cut after one of three': [0xe2],
  'cut after two of three': [0xe2, 0x82],
  'cut after three of four': [0xf0, 0x9f, 0x98],
  'cut and followed': [0xe2, 0x82, 0x61],
  'continuations alone': [0x80, 0xbf],
  'a byte order mark': [0xef, 0xbb, 0xbf, 0x61],
  'two byte order marks': [0xef, 0xbb, 0xbf, 0xef, 0xbb, 0xbf],
};

export const cases = {
  'an encoder': () => all(new TextEncoder(), 'encoding'),
  encode: () => [...new TextEncoder().encode('aä€😀')],
  'encode lone surrogates': () => [
    ...new TextEncoder().encode('a\ud800b\udc00'),
  ],
  'encode nothing': () => [
    new TextEncoder().encode().length,
    new TextEncoder().encode(undefined).length,
    [...new TextEncoder().encode(null)],
    [...new TextEncoder().encode(1)],
  ],
  'encode a symbol': () => new TextEncoder().encode(Symbol('x')),
  encodeInto: () => {
    const target = new Uint8Array(6);
    return [new TextEncoder().encodeInto('aä€x', target), [...target]];
  },
  'encodeInto what is too small': () => {
    const target = new Uint8Array(5);
    return [new TextEncoder().encodeInto('a😀😀', target), [...target]];
  },
  'encodeInto lone surrogates': () => {
    const target = new Uint8Array(4);
    return [new TextEncoder().encodeInto('\ud800a', target), [...target]];
  },
  'encodeInto an array': () => new TextEncoder().encodeInto('a', []),
  'encodeInto other numbers': () =>
    new TextEncoder().encodeInto('a', new Uint16Array(1)),
  'a decoder': () => all(new TextDecoder(), 'encoding fatal ignoreBOM'),
  'a decoder with options': () =>
    all(
      new TextDecoder('utf-8', { fatal: 1, ignoreBOM: 'x' }),
      'encoding fatal ignoreBOM',
    ),
  labels: () =>
    [' UTF-8\n', 'utf8', 'unicode-1-1-utf-8', 'x-unicode20utf8', undefined].map(
      (label) => new TextDecoder(label).encoding,
    ),
  'labels of other encodings': () =>
    ['UTF-16', 'unicode', 'utf-16be', 'latin1', 'ASCII', 'cp1252'].map(
      (label) => new TextDecoder(label).encoding,
    ),
  ...Object.fromEntries(
    ['utf-16le', 'utf-16be'].flatMap((label) =>
      Object.entries({
        nothing: [],
        text: [0x61, 0, 0xe4, 0, 0xac, 0x20],
        'a pair': [0x3d, 0xd8, 0, 0xde],
        'a lone lead': [0x3d, 0xd8, 0x61, 0],
        'a lone trail': [0, 0xde, 0x61, 0],
        'a lead at the end': [0x61, 0, 0x3d, 0xd8],
        'an odd byte': [0x61, 0, 0x62],
        'a lead and an odd byte': [0x3d, 0xd8, 0x62],
        'a mark': [0xff, 0xfe, 0x61, 0],
      }).flatMap(([name, values]) => {
        const order = (list) =>
          label === 'utf-16le'
            ? list
            : list.map((value, index) => list[index ^ 1] ?? value);
        const all = order(values);
        return [
          [
            `${label}: ${name}`,
            () => new TextDecoder(label).decode(bytes(...all)),
          ],
          [
            `${label}: ${name}, fatally`,
            () => new TextDecoder(label, { fatal: true }).decode(bytes(...all)),
          ],
          [
            `${label}: ${name}, byte by byte`,
            () => {
              const decoder = new TextDecoder(label);
              let text = '';
              for (const value of all)
                text += decoder.decode(bytes(value), { stream: true });
              return text + decoder.decode();
            },
          ],
          [
            `${label}: ${name}, with marks`,
            () =>
              new TextDecoder(label, { ignoreBOM: true }).decode(bytes(...all)),
          ],
        ];
      }),
    ),
  ),
  'a long text in utf-16le': () =>
    new TextDecoder('utf-16le').decode(new Uint16Array(10000).fill(0x20ac))
      .length,
  'a label that is none': () => new TextDecoder('x'),
  'a label with other spaces': () => new TextDecoder('\u00a0utf-8'),
  'null as label': () => new TextDecoder(null),
  'null as options': () => new TextDecoder('utf-8', null).fatal,
  'a text as options': () => new TextDecoder('utf-8', 'x'),
  'decode buffers and views': () => [
    new TextDecoder().decode(bytes(97).buffer),
    new TextDecoder().decode(bytes(97, 98, 99).subarray(1)),
    new TextDecoder().decode(new DataView(bytes(97, 98).buffer, 1)),
    new TextDecoder().decode(new Uint16Array([0x6261])),
    new TextDecoder().decode(),
    new TextDecoder().decode(undefined),
  ],
  'decode a number': () => new TextDecoder().decode(5),
  'decode an array': () => new TextDecoder().decode([97]),
  'decode a text': () => new TextDecoder().decode('a'),
  'decode null': () => new TextDecoder().decode(null),
  ...Object.fromEntries(
    Object.entries(sequences).flatMap(([name, values]) => [
      [`decode ${name}`, () => decoded(values)],
      [`decode ${name}, fatally`, () => decoded(values, { fatal: true })],
      [
        `decode ${name}, with marks`,
        () => decoded(values, { ignoreBOM: true }),
      ],
      [
        `decode ${name}, byte by byte`,
        () => chunks(values.map((value) => [value])).join('|'),
      ],
      [
        `decode ${name}, byte by byte, fatally`,
        () =>
          chunks(
            values.map((value) => [value]),
            { fatal: true },
          ),
      ],
    ]),
  ),
  'a decoder can be used again': () => {
    const decoder = new TextDecoder();
    return [
      decoder.decode(bytes(0xef, 0xbb, 0xbf, 97)),
      decoder.decode(bytes(0xef, 0xbb, 0xbf, 98)),
    ];
  },
  'a mark in a later chunk is a character': () =>
    chunks([[97], [0xef, 0xbb, 0xbf, 98]]).map((text) => text.length),
  'encoders and decoders are named': () =>
    [new TextEncoder(), new TextDecoder()].map((it) =>
      Object.prototype.toString.call(it),
    ),
  'an encoder stream': () => through(new TextEncoderStream(), 'a', 'ä', '', 5),
  'an encoder stream with halves': () =>
    through(new TextEncoderStream(), 'a\ud83d', '\ude00', '\ud800'),
  'a decoder stream': () =>
    through(new TextDecoderStream(), bytes(0xe2, 0x82), bytes(0xac, 97)),
  'a decoder stream that is cut': () =>
    through(new TextDecoderStream(), bytes(0xe2, 0x82)),
  'a fatal decoder stream': () =>
    through(new TextDecoderStream('utf-8', { fatal: true }), bytes(0xff)),
  'the members of a decoder stream': () =>
    all(new TextDecoderStream(), 'encoding fatal ignoreBOM'),
};

export const beyondNode = {
  'windows-1252': [
    () => {
      const all = Uint8Array.from({ length: 256 }, (_, index) => index);
      const text = new TextDecoder('latin1').decode(all);
      return [text.slice(0x7f, 0xa1), text.length, text.charCodeAt(0xff)];
    },
    {
      gave: [
        '\x7f€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ\xa0',
        256,
        0xff,
      ],
    },
  ],
};
