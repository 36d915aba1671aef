// What Request and Response have in common: a body (https://fetch.spec.whatwg.org/#bodies).

import { ReadableStream } from 'web-streams-polyfill';
import { native } from '../native.js';
import { URLSearchParams } from '../url/search_params.js';
import { copyBytes, usvString } from '../webidl.js';

/** A chunk of a body as bytes. Strings are accepted too, as Node's servers do. */
export function toBytes(chunk) {
  if (chunk instanceof Uint8Array) return chunk;
  if (typeof chunk === 'string') return native.encode(chunk);
  const bytes = copyBytes(chunk);
  if (bytes !== null) return bytes;
  throw new TypeError('each chunk of a body must be a string or bytes');
}

/** Whether a stream has been read or cancelled. */
function isDisturbed(stream) {
  // Specifications ask this of a stream, but it has no member that says it.
  return stream._disturbed;
}

/** A stream of the chunks of an async iterable. */
function streamOf(iterable) {
  let iterator;
  return new ReadableStream({
    type: 'bytes',
    start() {
      iterator = iterable[Symbol.asyncIterator]();
    },
    async pull(controller) {
      for (;;) {
        const { done, value } = await iterator.next();
        if (done) {
          controller.close();
          controller.byobRequest?.respond(0);
          return;
        }
        // A copy: the stream takes a chunk's buffer away from its owner.
        const bytes = toBytes(value).slice();
        // An empty chunk would leave the reader waiting.
        if (bytes.length > 0) return controller.enqueue(bytes);
      }
    },
    async cancel(reason) {
      await iterator.return?.(reason);
    },
  });
}

/** A stream with the given bytes. */
function streamOfBytes(bytes) {
  return new ReadableStream({
    type: 'bytes',
    pull(controller) {
      if (bytes.length > 0) controller.enqueue(bytes);
      controller.close();
      controller.byobRequest?.respond(0);
    },
  });
}

/**
 * What `new Response(object)` makes of its argument: `raw` is a string, bytes or a
 * stream; `type` the Content-Type, or null.
 */
export function extractBody(object, where) {
  if (typeof object === 'string')
    return { raw: usvString(object), type: 'text/plain;charset=UTF-8' };
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

async function collect(stream) {
  const chunks = [];
  let length = 0;
  for await (const chunk of stream) {
    if (!(chunk instanceof Uint8Array))
      throw new TypeError('a chunk of the body is not a Uint8Array');
    chunks.push(chunk);
    length += chunk.length;
  }
  const all = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
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
    return this.#raw.startsWith('\ufeff') ? this.#raw.slice(1) : this.#raw;
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
  async bytes() {
    return this.#consume();
  }
  async json() {
    return JSON.parse(await this.#text());
  }
  async text() {
    return this.#text();
  }
}
