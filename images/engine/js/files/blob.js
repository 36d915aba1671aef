// Blob and File (https://w3c.github.io/FileAPI/). Their bytes are in memory.

import { TextDecoder } from '../encoding/encoding.js';
import { textOf } from '../encoding/streams.js';
import { joinBytes, streamOfBytes } from '../fetch/byte_streams.js';
import { native } from '../native.js';
import {
  copyBytes,
  defineInterface,
  dictionary,
  enumeration,
  isSequence,
  requireArguments,
  usvString,
} from '../webidl.js';

/** A Blob's bytes, which nobody may change. */
export let bytesOfBlob;

/** [Clamp] long long: the nearest integer, the even one of two. */
function clamped(value) {
  const number = +value;
  const below = Math.floor(number);
  const isHalf = number - below === 0.5;
  return (isHalf ? below + Math.abs(below % 2) : Math.round(number)) || 0;
}

function bytesOfPart(part, endings) {
  const bytes = copyBytes(part);
  if (bytes !== null) return bytes;
  if (part instanceof Blob) return bytesOfBlob(part);
  const text = usvString(part);
  return native.encode(
    endings === 'native' ? text.replace(/\r\n?/g, '\n') : text,
  );
}

const mediaType = (type) => {
  const text = `${type}`;
  return /[^\x20-\x7e]/.test(text) ? '' : text.toLowerCase();
};

export class Blob {
  #bytes;
  #type;
  constructor(blobParts = [], options = {}) {
    if (!isSequence(blobParts))
      throw new TypeError('Blob: the parts must be a list');
    const { endings = 'transparent', type = '' } = dictionary(
      options,
      'Blob: the options',
    );
    const lines = enumeration(
      endings,
      ['transparent', 'native'],
      'Blob: endings',
    );
    this.#bytes = joinBytes(
      Array.from(blobParts, (part) => bytesOfPart(part, lines)),
    );
    this.#type = mediaType(type);
  }
  static {
    bytesOfBlob = (blob) => blob.#bytes;
  }
  get size() {
    return this.#bytes.length;
  }
  get type() {
    return this.#type;
  }
  slice(start = 0, end = this.size, contentType = '') {
    const slice = new Blob([], { type: contentType });
    slice.#bytes = this.#bytes.slice(clamped(start), clamped(end));
    return slice;
  }
  stream() {
    return streamOfBytes(this.#bytes.slice());
  }
  async text() {
    return new TextDecoder().decode(this.#bytes);
  }
  textStream() {
    return textOf(this.stream());
  }
  async arrayBuffer() {
    return this.#bytes.slice().buffer;
  }
  async bytes() {
    return this.#bytes.slice();
  }
}
defineInterface('Blob', Blob);

export class File extends Blob {
  #name;
  #lastModified;
  constructor(fileBits, fileName, options = {}) {
    requireArguments(arguments, 2, 'File');
    super(fileBits, options);
    const { lastModified = Date.now() } = options ?? {};
    this.#name = usvString(fileName);
    this.#lastModified = Math.trunc(+lastModified) || 0;
  }
  get name() {
    return this.#name;
  }
  get lastModified() {
    return this.#lastModified;
  }
}
defineInterface('File', File);
