// Response (https://fetch.spec.whatwg.org/#response-class).

import { URL } from '../url/url.js';
import {
  byteString,
  defineInterface,
  dictionary,
  requireArguments,
  unsignedShort,
  usvString,
} from '../webidl.js';
import { Body, cloneBody, extractBody } from './body.js';
import { addContentType, freezeHeaders, Headers } from './headers.js';

const NULL_BODY_STATUS = [101, 103, 204, 205, 304];
const REDIRECT_STATUS = [301, 302, 303, 307, 308];

function parseStatus(value) {
  const status = unsignedShort(value);
  if (status < 200 || status > 599) {
    throw new RangeError(
      `Response: invalid status '${value}'; it must be an integer from 200 to 599`,
    );
  }
  return status;
}

function parseStatusText(value) {
  if (value === '') return value;
  const text = byteString(value, 'Response: statusText');
  if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(text)) {
    throw new TypeError(
      'Response: the statusText contains a character that HTTP does not allow in it',
    );
  }
  return text;
}

/** What only the server itself makes: errors, redirects and clones. */
class Made {
  constructor(raw, fields) {
    this.raw = raw;
    this.fields = fields;
  }
}

export class Response extends Body {
  #type = 'default';
  #status;
  #statusText = '';
  #headers;
  constructor(body = null, init = {}) {
    if (body instanceof Made) {
      super(body.raw);
      this.#type = body.fields.type;
      this.#status = body.fields.status;
      this.#statusText = body.fields.statusText;
      this.#headers = body.fields.headers;
      return;
    }
    const {
      status = 200,
      statusText = '',
      headers,
    } = dictionary(init, 'Response: the options');
    const code = parseStatus(status);
    const reason = parseStatusText(statusText);
    const list = new Headers(headers);
    if (body === null) {
      super(null);
    } else {
      const { raw, type } = extractBody(body, 'Response');
      if (NULL_BODY_STATUS.includes(code)) {
        throw new TypeError(
          `Response: a response with status ${code} cannot have a body`,
        );
      }
      super(raw);
      if (type !== null) addContentType(list, type);
    }
    this.#status = code;
    this.#statusText = reason;
    this.#headers = list;
  }
  static error() {
    return new Response(
      new Made(null, {
        type: 'error',
        status: 0,
        statusText: '',
        headers: freezeHeaders(new Headers()),
      }),
    );
  }
  static json(data, init = {}) {
    requireArguments(arguments, 1, 'Response.json');
    const text = JSON.stringify(data);
    if (text === undefined) {
      throw new TypeError(
        `Response.json: ${typeof data} cannot be written as JSON`,
      );
    }
    const { status, statusText, headers } = dictionary(
      init,
      'Response.json: the options',
    );
    const list = new Headers(headers);
    addContentType(list, 'application/json');
    return new Response(text, { status, statusText, headers: list });
  }
  static redirect(url, status = 302) {
    const where = 'Response.redirect';
    requireArguments(arguments, 1, where);
    const text = usvString(url);
    const target = URL.parse(text);
    if (target === null) {
      throw new TypeError(
        `${where}: '${text}' is not a whole URL; a path becomes one by new URL(path, request.url)`,
      );
    }
    const code = unsignedShort(status);
    if (!REDIRECT_STATUS.includes(code)) {
      throw new RangeError(
        `${where}: ${status} is not one of the statuses ${REDIRECT_STATUS.join(', ')}`,
      );
    }
    const headers = new Headers([['location', target.href]]);
    return new Response(
      new Made(null, {
        type: 'default',
        status: code,
        statusText: '',
        headers: freezeHeaders(headers),
      }),
    );
  }
  get type() {
    return this.#type;
  }
  get url() {
    return '';
  }
  get redirected() {
    return false;
  }
  get status() {
    return this.#status;
  }
  get ok() {
    return this.#status >= 200 && this.#status <= 299;
  }
  get statusText() {
    return this.#statusText;
  }
  get headers() {
    return this.#headers;
  }
  clone() {
    return new Response(
      new Made(cloneBody(this), {
        type: this.#type,
        status: this.#status,
        statusText: this.#statusText,
        headers: new Headers(this.#headers),
      }),
    );
  }
}
defineInterface('Response', Response, Body);
