// TextEncoderStream and TextDecoderStream (https://encoding.spec.whatwg.org/#interface-textencoderstream).

import { TransformStream } from 'web-streams-polyfill';
import { native } from '../native.js';
import { defineInterface, domString } from '../webidl.js';
import { TextDecoder } from './encoding.js';

export class TextEncoderStream {
  #transform;
  constructor() {
    // The first half of a surrogate pair whose second half is in the next chunk.
    let half = '';
    this.#transform = new TransformStream({
      transform(chunk, controller) {
        let text = half + domString(chunk);
        half = /[\ud800-\udbff]$/.test(text) ? text.slice(-1) : '';
        text = text.slice(0, text.length - half.length);
        if (text !== '') controller.enqueue(native.encode(text.toWellFormed()));
      },
      flush(controller) {
        if (half !== '') controller.enqueue(native.encode('\ufffd'));
      },
    });
  }
  get encoding() {
    return 'utf-8';
  }
  get readable() {
    return this.#transform.readable;
  }
  get writable() {
    return this.#transform.writable;
  }
}
defineInterface('TextEncoderStream', TextEncoderStream);

export class TextDecoderStream {
  #decoder;
  #transform;
  constructor(label = 'utf-8', options = {}) {
    const decoder = new TextDecoder(label, options);
    this.#decoder = decoder;
    this.#transform = new TransformStream({
      transform(chunk, controller) {
        const text = decoder.decode(chunk, { stream: true });
        if (text !== '') controller.enqueue(text);
      },
      flush(controller) {
        const text = decoder.decode();
        if (text !== '') controller.enqueue(text);
      },
    });
  }
  get encoding() {
    return this.#decoder.encoding;
  }
  get fatal() {
    return this.#decoder.fatal;
  }
  get ignoreBOM() {
    return this.#decoder.ignoreBOM;
  }
  get readable() {
    return this.#transform.readable;
  }
  get writable() {
    return this.#transform.writable;
  }
}
defineInterface('TextDecoderStream', TextDecoderStream);

/** The text of a stream of bytes, as it comes. */
export function textOf(stream) {
  return stream.pipeThrough(new TextDecoderStream());
}
