// Request (https://fetch.spec.whatwg.org/#request-class), as a server's handler uses it.
// There is no `fetch()`: a site has no network, and the options for it are only kept.

import { AbortController, AbortSignal } from '../events/abort.js';
import { URL } from '../url/url.js';
import {
  byteString,
  defineInterface,
  dictionary,
  enumeration,
  requireArguments,
  usvString,
} from '../webidl.js';
import { Body, cloneBody, extractBody, moveBody } from './body.js';
import { addContentType, adoptHeaders, Headers } from './headers.js';

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** A request as it comes from the host; `flatHeaders` is `name\nvalue\n` for each header. */
export class Incoming {
  constructor(method, flatHeaders, body) {
    this.method = method;
    this.flatHeaders = flatHeaders;
    this.body = body;
  }
}

/** Options of `new Request(url, options)` that are one of several words. */
const WORDS = {
  referrerPolicy: [
    '',
    'no-referrer',
    'no-referrer-when-downgrade',
    'same-origin',
    'origin',
    'strict-origin',
    'origin-when-cross-origin',
    'strict-origin-when-cross-origin',
    'unsafe-url',
  ],
  mode: ['navigate', 'same-origin', 'no-cors', 'cors'],
  credentials: ['omit', 'same-origin', 'include'],
  cache: [
    'default',
    'no-store',
    'reload',
    'no-cache',
    'force-cache',
    'only-if-cached',
  ],
  redirect: ['follow', 'error', 'manual'],
  duplex: ['half'],
  priority: ['high', 'low', 'auto'],
};

const DEFAULTS = {
  referrer: 'about:client',
  referrerPolicy: '',
  mode: 'cors',
  credentials: 'same-origin',
  cache: 'default',
  redirect: 'follow',
  integrity: '',
  keepalive: false,
};

function parseUrl(text, where) {
  const url = URL.parse(text);
  if (url === null) {
    throw new TypeError(
      `${where}: '${text}' is not a whole URL; a path becomes one by new URL(path, request.url)`,
    );
  }
  if (url.username !== '' || url.password !== '') {
    throw new TypeError(
      `${where}: the URL '${text}' has a user or a password; send them in a header`,
    );
  }
  return url.href;
}

function parseMethod(method) {
  const text = byteString(method, 'Request: method');
  if (!TOKEN.test(text))
    throw new TypeError(`Request: '${text}' is not a method`);
  if (/^(connect|trace|track)$/i.test(text))
    throw new TypeError(`Request: the method '${text}' is not allowed`);
  return /^(delete|get|head|options|post|put)$/i.test(text)
    ? text.toUpperCase()
    : text;
}

function parseReferrer(referrer) {
  const text = usvString(referrer);
  if (text === '' || text === 'about:client') return text;
  const url = URL.parse(text);
  if (url === null)
    throw new TypeError(`Request: the referrer '${text}' is not a URL`);
  return url.href;
}

/** The options in `init` that only `fetch()` would use, on top of those in `from`. */
function parseOptions(init, from) {
  const options = { ...from };
  for (const [name, accepted] of Object.entries(WORDS)) {
    if (init[name] !== undefined)
      options[name] = enumeration(init[name], accepted, `Request: ${name}`);
  }
  if (init.mode !== undefined && options.mode === 'navigate')
    throw new TypeError("Request: the mode 'navigate' is for browsers only");
  if (options.cache === 'only-if-cached' && options.mode !== 'same-origin') {
    throw new TypeError(
      "Request: the cache 'only-if-cached' needs the mode 'same-origin'",
    );
  }
  if (init.window != null)
    throw new TypeError('Request: window must be null, if it is given');
  if (init.referrer !== undefined)
    options.referrer = parseReferrer(init.referrer);
  if (init.integrity !== undefined) options.integrity = `${init.integrity}`;
  if (init.keepalive !== undefined) options.keepalive = Boolean(init.keepalive);
  return options;
}

function parseSignal(signal) {
  if (signal === null || signal instanceof AbortSignal) return signal;
  throw new TypeError('Request: signal must be an AbortSignal or null');
}

export class Request extends Body {
  #url;
  #method;
  #headers;
  #options = DEFAULTS;
  // Made when somebody asks for it: nothing can abort a request from the host.
  #signal = null;
  constructor(input, init = {}) {
    // A request from the host is already valid and needs no checks or parsing.
    if (init instanceof Incoming) {
      super(init.body);
      this.#url = input;
      this.#method = init.method;
      this.#headers = adoptHeaders(init.flatHeaders);
      return;
    }
    requireArguments(arguments, 1, 'Request');
    const from =
      typeof input === 'object' && input !== null && #url in input
        ? input
        : null;
    const url = from ? from.#url : parseUrl(usvString(input), 'Request');
    init = dictionary(init, 'Request: the options');
    const options = parseOptions(init, from ? from.#options : DEFAULTS);
    const method =
      init.method === undefined
        ? (from?.method ?? 'GET')
        : parseMethod(init.method);
    const signal =
      init.signal === undefined
        ? (from?.#signal ?? null)
        : parseSignal(init.signal);
    const headers = new Headers(
      init.headers === undefined ? from?.headers : init.headers,
    );
    const given = init.body ?? null;
    const inherits = given === null && from !== null && from.body !== null;
    if ((given !== null || inherits) && /^(GET|HEAD)$/.test(method))
      throw new TypeError(`Request: a ${method} request cannot have a body`);
    let raw = null;
    if (given !== null) {
      const body = extractBody(given, 'Request');
      raw = body.raw;
      if (body.type !== null) addContentType(headers, body.type);
      if (isStream(raw) && init.duplex === undefined) {
        throw new TypeError(
          "Request: a body that is a stream needs the option duplex: 'half'",
        );
      }
    } else if (inherits) {
      raw = moveBody(from);
    }
    super(raw);
    this.#url = url;
    this.#method = method;
    this.#headers = headers;
    this.#options = options;
    this.#signal = signal === null ? null : AbortSignal.any([signal]);
  }
  get method() {
    return this.#method;
  }
  get url() {
    return this.#url;
  }
  get headers() {
    return this.#headers;
  }
  get destination() {
    return '';
  }
  get referrer() {
    return this.#options.referrer;
  }
  get referrerPolicy() {
    return this.#options.referrerPolicy;
  }
  get mode() {
    return this.#options.mode;
  }
  get credentials() {
    return this.#options.credentials;
  }
  get cache() {
    return this.#options.cache;
  }
  get redirect() {
    return this.#options.redirect;
  }
  get integrity() {
    return this.#options.integrity;
  }
  get keepalive() {
    return this.#options.keepalive;
  }
  get isReloadNavigation() {
    return false;
  }
  get isHistoryNavigation() {
    return false;
  }
  get signal() {
    this.#signal ??= new AbortController().signal;
    return this.#signal;
  }
  get duplex() {
    return 'half';
  }
  clone() {
    const clone = new Request(
      this.#url,
      new Incoming(this.#method, '', cloneBody(this)),
    );
    clone.#headers = new Headers(this.#headers);
    clone.#options = this.#options;
    clone.#signal = this.#signal && AbortSignal.any([this.#signal]);
    return clone;
  }
}
defineInterface('Request', Request, Body);

function isStream(raw) {
  return typeof raw === 'object' && !(raw instanceof Uint8Array);
}
