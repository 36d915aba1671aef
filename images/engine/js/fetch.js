// Headers, Request and Response, as a server's handler meets them. There is no
// `fetch` to the outside: a rendering module has no network.

import { ReadableStream } from 'web-streams-polyfill';

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const NULL_BODY_STATUS = new Set([101, 204, 205, 304]);

function headerName(name) {
  const text = String(name);
  if (!TOKEN.test(text))
    throw new TypeError(`Headers: '${text}' is not a valid header name`);
  return text.toLowerCase();
}

function headerValue(name, value) {
  const text = String(value).trim();
  // Header values are visible Latin-1; anything else would be refused when the response is sent.
  if (/[\0\r\n]|[^\t\x20-\xff]/.test(text)) {
    throw new TypeError(
      `Headers: the value of '${name}' has a character that headers cannot carry`,
    );
  }
  return text;
}

let adoptHeaders;
let flattenHeaders;

export class Headers {
  // Name to list of values; made from the host's flat text only when first asked for.
  #values = null;
  #flat = null;
  constructor(init) {
    if (init == null) return;
    if (typeof init !== 'object')
      throw new TypeError('Headers: give an object, pairs or Headers');
    if (typeof init[Symbol.iterator] === 'function') {
      for (const pair of init) {
        const [name, value, ...rest] = pair;
        if (value === undefined || rest.length > 0) {
          throw new TypeError('Headers: each pair must have two items');
        }
        this.append(name, value);
      }
    } else {
      for (const name of Object.keys(init)) this.append(name, init[name]);
    }
  }
  static {
    adoptHeaders = (flat) => {
      const headers = new Headers();
      headers.#flat = flat;
      return headers;
    };
    flattenHeaders = (headers) => {
      let flat = '';
      for (const [name, values] of headers.#map()) {
        for (const value of values) flat += `${name}\n${value}\n`;
      }
      return flat;
    };
  }
  #map() {
    if (this.#values === null) {
      this.#values = new Map();
      if (this.#flat) {
        const parts = this.#flat.split('\n');
        for (let i = 0; i + 1 < parts.length; i += 2) {
          const list = this.#values.get(parts[i]);
          if (list === undefined) this.#values.set(parts[i], [parts[i + 1]]);
          else list.push(parts[i + 1]);
        }
        this.#flat = null;
      }
    }
    return this.#values;
  }
  append(name, value) {
    const key = headerName(name);
    const list = this.#map().get(key);
    if (list === undefined) this.#map().set(key, [headerValue(key, value)]);
    else list.push(headerValue(key, value));
  }
  set(name, value) {
    const key = headerName(name);
    this.#map().set(key, [headerValue(key, value)]);
  }
  delete(name) {
    this.#map().delete(headerName(name));
  }
  has(name) {
    return this.#map().has(headerName(name));
  }
  get(name) {
    const key = headerName(name);
    return (
      this.#map()
        .get(key)
        ?.join(key === 'cookie' ? '; ' : ', ') ?? null
    );
  }
  getSetCookie() {
    return [...(this.#map().get('set-cookie') ?? [])];
  }
  forEach(callback, self) {
    for (const [name, value] of this) callback.call(self, value, name, this);
  }
  *entries() {
    for (const name of [...this.#map().keys()].sort()) {
      if (name === 'set-cookie') {
        for (const value of this.#map().get(name)) yield [name, value];
      } else {
        yield [name, this.get(name)];
      }
    }
  }
  *keys() {
    for (const [name] of this.entries()) yield name;
  }
  *values() {
    for (const [, value] of this.entries()) yield value;
  }
  [Symbol.iterator]() {
    return this.entries();
  }
}

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

/** A chunk of a body as bytes; strings are accepted for convenience, as Node does. */
export function toBytes(chunk) {
  if (chunk instanceof Uint8Array) return chunk;
  if (typeof chunk === 'string') return new TextEncoder().encode(chunk);
  if (ArrayBuffer.isView(chunk))
    return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  if (chunk instanceof ArrayBuffer) return new Uint8Array(chunk);
  throw new TypeError("a body's chunks must be Uint8Array or string");
}

let rawBody;

class Body {
  // A string, bytes, a stream, or null: kept as given, so that the usual
  // response never becomes a stream on its way out.
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
    if (this.bodyUsed) throw new TypeError('the body has been read already');
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
    if (this.bodyUsed) throw new TypeError('the body has been read already');
    const raw = rawBody(this);
    if (!(raw instanceof ReadableStream)) return raw;
    const [mine, theirs] = raw.tee();
    this.#stream = null;
    this.#raw = mine;
    return theirs;
  }
}

/** What the host says of a request; `flatHeaders` is `name\nvalue\n` for each header. */
export class Incoming {
  constructor(method, flatHeaders, body) {
    this.method = method;
    this.flatHeaders = flatHeaders;
    this.body = body;
  }
}

export class Request extends Body {
  #url;
  #method;
  #headers;
  #signal;
  constructor(input, init = {}) {
    // The host's own request is taken as it is: nothing in it needs checking or parsing again.
    if (init instanceof Incoming) {
      super(init.body);
      this.#url = input;
      this.#method = init.method;
      this.#headers = adoptHeaders(init.flatHeaders);
      return;
    }
    const from = input instanceof Request ? input : null;
    const method = String(init.method ?? from?.method ?? 'GET');
    const body = init.body ?? (from ? from._cloneBody() : null);
    if (body != null && (method === 'GET' || method === 'HEAD')) {
      throw new TypeError(`Request: a ${method} request has no body`);
    }
    super(body);
    this.#url = from ? from.url : new URL(String(input)).href;
    this.#method = /^(get|head|post|put|delete|options)$/i.test(method)
      ? method.toUpperCase()
      : method;
    this.#headers = new Headers(init.headers ?? from?.headers);
    this.#signal = init.signal ?? from?.signal;
  }
  get url() {
    return this.#url;
  }
  get method() {
    return this.#method;
  }
  get headers() {
    return this.#headers;
  }
  get signal() {
    this.#signal ??= new AbortController().signal;
    return this.#signal;
  }
  get redirect() {
    return 'follow';
  }
  clone() {
    return new Request(this);
  }
}

export class Response extends Body {
  #status;
  #statusText;
  #headers;
  constructor(body = null, init = {}) {
    const status = Number(init.status ?? 200);
    if (!Number.isInteger(status) || status < 200 || status > 599) {
      throw new RangeError(
        `Response: the status '${init.status}' is not a whole number from 200 to 599`,
      );
    }
    if (body != null && NULL_BODY_STATUS.has(status)) {
      throw new TypeError(
        `Response: a response with status ${status} has no body`,
      );
    }
    super(body);
    this.#status = status;
    this.#statusText = String(init.statusText ?? '');
    this.#headers = new Headers(init.headers);
    if (body != null && !this.#headers.has('content-type')) {
      if (typeof body === 'string')
        this.#headers.set('content-type', 'text/plain;charset=UTF-8');
      else if (body instanceof URLSearchParams) {
        this.#headers.set(
          'content-type',
          'application/x-www-form-urlencoded;charset=UTF-8',
        );
      }
    }
  }
  static json(data, init = {}) {
    const headers = new Headers(init.headers);
    if (!headers.has('content-type'))
      headers.set('content-type', 'application/json');
    return new Response(JSON.stringify(data), { ...init, headers });
  }
  static redirect(url, status = 302) {
    if (![301, 302, 303, 307, 308].includes(status)) {
      throw new RangeError(
        `Response.redirect: ${status} is not a redirect status`,
      );
    }
    return new Response(null, { status, headers: { location: String(url) } });
  }
  static error() {
    throw new TypeError(
      'Response.error() has no meaning on a server: return a status instead',
    );
  }
  get status() {
    return this.#status;
  }
  get statusText() {
    return this.#statusText;
  }
  get ok() {
    return this.#status >= 200 && this.#status < 300;
  }
  get headers() {
    return this.#headers;
  }
  get type() {
    return 'default';
  }
  get redirected() {
    return false;
  }
  get url() {
    return '';
  }
  clone() {
    return new Response(this._cloneBody(), {
      status: this.#status,
      statusText: this.#statusText,
      headers: this.#headers,
    });
  }
}

export { flattenHeaders, rawBody };
