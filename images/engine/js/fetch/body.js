// What Request and Response have in common: a body (https://fetch.spec.whatwg.org/#bodies).

import { ReadableStream, TransformStream } from 'web-streams-polyfill';
import { TextDecoder } from '../encoding/encoding.js';
import { textOf } from '../encoding/streams.js';
import { Blob, bytesOfBlob } from '../files/blob.js';
import { FormData } from '../files/form_data.js';
import { parseMimeType } from '../files/mime_type.js';
import { parseMultipart, writeMultipart } from '../files/multipart.js';
import { native } from '../native.js';
import { URLSearchParams } from '../url/search_params.js';
import { copyBytes, usvString } from '../webidl.js';
import {
  collect,
  isDisturbed,
  streamOf,
  streamOfBytes,
  toBytes,
} from './byte_streams.js';

/**
 * What `new Response(object)` makes of its argument: `raw` is a string, bytes or a
 * stream; `type` the Content-Type, or null.
 */
export function extractBody(object, where) {
  // Lone surrogates are replaced where the text is read or sent.
  if (typeof object === 'string')
    return { raw: object, type: 'text/plain;charset=UTF-8' };
  if (object instanceof ReadableStream) {
    if (object.locked || isDisturbed(object)) {
      throw new TypeError(
        `${where}: the stream given as body has been read already, or is being read`,
      );
    }
    return { raw: object, type: null };
  }
  const bytes = copyBytes(object);
  if (bytes !== null) return { raw: bytes, type: null };
  if (object instanceof Blob)
    return { raw: bytesOfBlob(object), type: object.type || null };
  if (object instanceof FormData) return writeMultipart(object);
  if (object instanceof URLSearchParams) {
    return {
      raw: object.toString(),
      type: 'application/x-www-form-urlencoded;charset=UTF-8',
    };
  }
  // Not in the standard, but what Node does.
  if (typeof object?.[Symbol.asyncIterator] === 'function')
    return { raw: streamOf(object), type: null };
  return { raw: usvString(object), type: 'text/plain;charset=UTF-8' };
}

/** The body as it is sent: a string, bytes, a stream, or null. Throws if it was read. */
export let rawBody;
/** Takes the body away from a request, for another one. */
export let moveBody;
/** The body for a clone, as `rawBody` gives it. */
export let cloneBody;

export class Body {
  // A string, bytes, a stream, or null. Kept as given, so that a typical response
  // is sent without becoming a stream.
  #raw;
  // The stream of a string or bytes, once the site has asked for it.
  #stream = null;
  #used = false;
  constructor(raw = null) {
    this.#raw = raw;
  }
  static {
    rawBody = (body) => body.#usable();
    moveBody = (body) => {
      const raw = body.#usable();
      if (!(raw instanceof ReadableStream)) {
        body.#used = raw !== null;
        return raw;
      }
      const { readable, writable } = new TransformStream();
      raw.pipeTo(writable).catch(() => {});
      return readable;
    };
    cloneBody = (body) => {
      const raw = body.#usable();
      if (!(raw instanceof ReadableStream)) return raw;
      const [mine, theirs] = raw.tee();
      body.#stream = null;
      body.#raw = mine;
      return theirs;
    };
  }
  #streamOrNull() {
    return this.#raw instanceof ReadableStream ? this.#raw : this.#stream;
  }
  #usable() {
    if (this.bodyUsed || this.#streamOrNull()?.locked) {
      throw new TypeError(
        'the body has been read already, or is being read: clone() before reading it twice',
      );
    }
    return this.#streamOrNull() ?? this.#raw;
  }
  async #consume() {
    const raw = this.#usable();
    if (raw === null) return new Uint8Array(0);
    if (raw instanceof ReadableStream) return collect(raw);
    this.#used = true;
    // A copy, because a clone may have the same bytes.
    return typeof raw === 'string' ? native.encode(raw) : raw.slice();
  }
  async #text() {
    if (typeof this.#raw !== 'string' || this.#stream !== null)
      return new TextDecoder().decode(await this.#consume());
    this.#usable();
    this.#used = true;
    // Decoding drops a byte order mark.
    const text = usvString(this.#raw);
    return text.startsWith('\ufeff') ? text.slice(1) : text;
  }
  get body() {
    if (this.#raw === null) return null;
    if (this.#streamOrNull() === null) {
      this.#stream = streamOfBytes(
        this.#used ? new Uint8Array(0) : toBytes(this.#raw).slice(),
      );
      if (this.#used) this.#stream.cancel();
    }
    return this.#streamOrNull();
  }
  get bodyUsed() {
    const stream = this.#streamOrNull();
    return this.#used || (stream !== null && isDisturbed(stream));
  }
  async arrayBuffer() {
    return (await this.#consume()).buffer;
  }
  async blob() {
    const bytes = await this.#consume();
    const type = parseMimeType(this.headers.get('content-type') ?? '');
    return new Blob([bytes], { type: type?.text ?? '' });
  }
  async bytes() {
    return this.#consume();
  }
  async formData() {
    this.#usable();
    const header = this.headers.get('content-type') ?? '';
    const type = parseMimeType(header);
    if (type?.essence === 'multipart/form-data') {
      return parseMultipart(
        await this.#consume(),
        type.parameters.get('boundary'),
      );
    }
    if (type?.essence === 'application/x-www-form-urlencoded') {
      const form = new FormData();
      const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(
        await this.#consume(),
      );
      for (const [name, value] of native.formParse(text))
        form.append(name, value);
      return form;
    }
    throw new TypeError(
      `formData: the Content-Type '${header}' is not that of a form`,
    );
  }
  async json() {
    return JSON.parse(await this.#text());
  }
  async text() {
    return this.#text();
  }
  textStream() {
    if (this.#usable() === null)
      return textOf(streamOfBytes(new Uint8Array(0)));
    return textOf(this.body);
  }
}
