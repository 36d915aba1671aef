// Request and Response, as a server's handler uses them. There is no `fetch()`: a
// site has no network.

import { Body } from './body.js';
import { adoptHeaders, Headers } from './headers.js';

const NULL_BODY_STATUS = new Set([101, 204, 205, 304]);

/** A request as it comes from the host; `flatHeaders` is `name\nvalue\n` for each header. */
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
    // A request from the host is already valid and needs no checks or parsing.
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
      throw new TypeError(`Request: a ${method} request cannot have a body`);
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
        `Response: invalid status '${init.status}'; it must be an integer from 200 to 599`,
      );
    }
    if (body != null && NULL_BODY_STATUS.has(status)) {
      throw new TypeError(
        `Response: a response with status ${status} cannot have a body`,
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
      'Response.error() is not supported on a server; return a response with an error status',
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
