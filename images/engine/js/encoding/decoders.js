// The encodings that TextDecoder knows (https://encoding.spec.whatwg.org/#names-and-labels).
// A decoder turns bytes into text: `unfinished(bytes)` is how many bytes at the end belong
// to a character whose rest is missing; `decode(bytes, fatal)` throws in place of U+FFFD if
// `fatal`.

import { native } from '../native.js';

const utf8 = {
  name: 'utf-8',
  hasMark: true,
  unfinished: (bytes) => native.unfinished(bytes),
  decode: (bytes, fatal) => native.decode(bytes, fatal),
};

/** Characters from code units, in steps that fit into the arguments of a call. */
function fromUnits(units) {
  let text = '';
  for (let at = 0; at < units.length; at += 4096)
    text += String.fromCharCode(...units.subarray(at, at + 4096));
  return text;
}

function utf16(name, littleEndian) {
  const unitsOf = (bytes) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    return Uint16Array.from({ length: bytes.length >> 1 }, (_, index) =>
      view.getUint16(index * 2, littleEndian),
    );
  };
  const isLead = (unit) => unit >= 0xd800 && unit <= 0xdbff;
  return {
    name,
    hasMark: true,
    unfinished(bytes) {
      const odd = bytes.length % 2;
      const [last] = unitsOf(bytes.subarray(0, bytes.length - odd).slice(-2));
      return isLead(last) ? odd + 2 : odd;
    },
    decode(bytes, fatal) {
      const units = unitsOf(bytes);
      const isOdd = bytes.length % 2 === 1;
      const text = fromUnits(units);
      if (fatal && (isOdd || !text.isWellFormed()))
        throw new TypeError(`TextDecoder: invalid ${name}`);
      // A lead surrogate and half of what should follow it are one error.
      const isNewError = isOdd && !isLead(units.at(-1));
      return text.toWellFormed() + (isNewError ? '\ufffd' : '');
    },
  };
}

// What windows-1252 has from 0x80 on, where Latin-1 has control characters.
const WINDOWS_1252 = '€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ';

const windows1252 = {
  name: 'windows-1252',
  hasMark: false,
  unfinished: () => 0,
  decode: (bytes) =>
    fromUnits(bytes).replace(
      /[\x80-\x9f]/g,
      (character) => WINDOWS_1252[character.charCodeAt(0) - 0x80],
    ),
};

const LABELS = [
  [
    utf8,
    'unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8',
  ],
  [
    utf16('utf-16le', true),
    'csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le',
  ],
  [utf16('utf-16be', false), 'unicodefffe utf-16be'],
  [
    windows1252,
    'ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591 ' +
      'iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii windows-1252 x-cp1252',
  ],
];

/** The decoder for a label, in any case and between spaces. */
export function decoderFor(label) {
  const name = label.replace(/^[\t\n\f\r ]+|[\t\n\f\r ]+$/g, '').toLowerCase();
  const found = LABELS.find(([, labels]) => labels.split(' ').includes(name));
  if (found !== undefined) return found[0];
  throw new RangeError(
    `TextDecoder: the encoding '${label}' is not supported; utf-8, utf-16le, utf-16be and windows-1252 are`,
  );
}
