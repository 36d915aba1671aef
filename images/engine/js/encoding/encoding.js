// TextEncoder and TextDecoder (https://encoding.spec.whatwg.org/#api).

import { native } from '../native.js';
import {
  defineInterface,
  dictionary,
  domString,
  usvString,
} from '../webidl.js';
import { decoderFor } from './decoders.js';

/** The bytes of an ArrayBuffer or a view, not copied. */
function bytesOf(input) {
  if (input instanceof Uint8Array) return input;
  if (ArrayBuffer.isView(input))
    return new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
  if (input instanceof ArrayBuffer) return new Uint8Array(input);
  throw new TypeError(
    'TextDecoder.decode: the input must be an ArrayBuffer or a view of one',
  );
}

export class TextEncoder {
  get encoding() {
    return 'utf-8';
  }
  encode(input = '') {
    return native.encode(domString(input));
  }
  encodeInto(source, destination) {
    const text = usvString(source);
    if (!(destination instanceof Uint8Array)) {
      throw new TypeError(
        'TextEncoder.encodeInto: the destination must be a Uint8Array',
      );
    }
    let read = 0;
    let written = 0;
    for (const character of text) {
      const bytes = native.encode(character);
      if (written + bytes.length > destination.length) break;
      destination.set(bytes, written);
      written += bytes.length;
      read += character.length;
    }
    return { read, written };
  }
}
defineInterface('TextEncoder', TextEncoder);

export class TextDecoder {
  #decoder;
  #fatal;
  #ignoreBom;
  // Bytes of a character whose rest is in the next chunk.
  #rest = new Uint8Array(0);
  // Whether the text has begun, so that a byte order mark would be a character.
  #begun = false;
  constructor(label = 'utf-8', options = {}) {
    this.#decoder = decoderFor(`${label}`);
    const { fatal, ignoreBOM } = dictionary(
      options,
      'TextDecoder: the options',
    );
    this.#fatal = Boolean(fatal);
    this.#ignoreBom = Boolean(ignoreBOM);
  }
  get encoding() {
    return this.#decoder.name;
  }
  get fatal() {
    return this.#fatal;
  }
  get ignoreBOM() {
    return this.#ignoreBom;
  }
  decode(input = new Uint8Array(0), options = {}) {
    let bytes = bytesOf(input);
    const stream = Boolean(
      dictionary(options, 'TextDecoder.decode: the options').stream,
    );
    if (this.#rest.length > 0) {
      const joined = new Uint8Array(this.#rest.length + bytes.length);
      joined.set(this.#rest);
      joined.set(bytes, this.#rest.length);
      bytes = joined;
      this.#rest = new Uint8Array(0);
    }
    if (stream) {
      const end = bytes.length - this.#decoder.unfinished(bytes);
      this.#rest = bytes.slice(end);
      bytes = bytes.subarray(0, end);
    }
    const begun = this.#begun;
    this.#begun = false;
    let text = this.#decoder.decode(bytes, this.#fatal);
    this.#begun = stream && (begun || text.length > 0);
    const { hasMark } = this.#decoder;
    if (hasMark && !this.#ignoreBom && !begun && text.startsWith('\ufeff'))
      text = text.slice(1);
    return text;
  }
}
defineInterface('TextDecoder', TextDecoder);
