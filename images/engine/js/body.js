// The body of a Request or Response.

import { ReadableStream } from 'web-streams-polyfill';

async function collect(stream) {
  const chunks = [];
  let length = 0;
  for await (const chunk of stream) {
    const bytes = toBytes(chunk);
    chunks.push(bytes);
    length += bytes.length;
  }
  const all = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

/** A chunk of a body as bytes. Strings are accepted too, as in Node. */
export function toBytes(chunk) {
  if (chunk instanceof Uint8Array) return chunk;
  if (typeof chunk === 'string') return new TextEncoder().encode(chunk);
  if (ArrayBuffer.isView(chunk))
    return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  if (chunk instanceof ArrayBuffer) return new Uint8Array(chunk);
  throw new TypeError('each chunk of a body must be a string or bytes');
}

/** The body without conversion: a string, bytes, a stream, or null. */
export let rawBody;

export class Body {
  // A string, bytes, a stream, or null. Kept as given, so that a typical response
  // is sent without becoming a stream.
  #raw = null;
  #stream = null;
  #used = false;
  constructor(body) {
    if (body == null) return;
    if (typeof body === 'string' || body instanceof ReadableStream)
      this.#raw = body;
    else if (ArrayBuffer.isView(body) || body instanceof ArrayBuffer)
      this.#raw = toBytes(body);
    else this.#raw = String(body);
  }
  static {
    rawBody = (body) => body.#stream ?? body.#raw;
  }
  get bodyUsed() {
    return this.#used || Boolean(this.#stream?.locked);
  }
  get body() {
    if (this.#raw === null) return null;
    if (this.#raw instanceof ReadableStream) return this.#raw;
    this.#stream ??= new ReadableStream({
      start: (controller) => {
        controller.enqueue(toBytes(this.#raw));
        controller.close();
      },
    });
    return this.#stream;
  }
  async #consume() {
    if (this.bodyUsed) throw new TypeError('the body has already been read');
    this.#used = true;
    const raw = rawBody(this);
    if (raw === null) return new Uint8Array(0);
    return raw instanceof ReadableStream ? collect(raw) : toBytes(raw);
  }
  async text() {
    if (typeof this.#raw === 'string' && this.#stream === null && !this.#used) {
      this.#used = true;
      return this.#raw;
    }
    return new TextDecoder().decode(await this.#consume());
  }
  async json() {
    return JSON.parse(await this.text());
  }
  async bytes() {
    return this.#consume();
  }
  async arrayBuffer() {
    const bytes = await this.#consume();
    return bytes.buffer.slice(
      bytes.byteOffset,
      bytes.byteOffset + bytes.byteLength,
    );
  }
  _cloneBody() {
    if (this.bodyUsed) throw new TypeError('the body has already been read');
    const raw = rawBody(this);
    if (!(raw instanceof ReadableStream)) return raw;
    const [mine, theirs] = raw.tee();
    this.#stream = null;
    this.#raw = mine;
    return theirs;
  }
}
