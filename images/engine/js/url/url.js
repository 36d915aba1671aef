// URL (https://url.spec.whatwg.org/#url-class), around the engine's URL parser.

import { native } from '../native.js';
import { defineInterface, domString, requireArguments } from '../webidl.js';
import { paramsOfUrl, replaceParams } from './search_params.js';

// In the order in which the engine returns them.
const PARTS = [
  'href',
  'origin',
  'protocol',
  'username',
  'password',
  'host',
  'hostname',
  'port',
  'pathname',
  'search',
  'hash',
];
const SEARCH = PARTS.indexOf('search');

function invalid(url, base) {
  const against = base === undefined ? '' : ` with base '${base}'`;
  const error = new TypeError(`Invalid URL: '${url}'${against}`);
  // As in Node.
  return Object.assign(error, { code: 'ERR_INVALID_URL', input: url });
}

/** The parts of a URL, or undefined. */
function parse(url, base) {
  return native.urlParse(
    domString(url),
    base === undefined ? undefined : domString(base),
  );
}

export class URL {
  #parts;
  #params = null;
  constructor(url, base = undefined) {
    requireArguments(arguments, 1, 'URL');
    this.#parts = parse(url, base);
    if (this.#parts === undefined) throw invalid(`${url}`, base);
  }
  static canParse(url, base = undefined) {
    requireArguments(arguments, 1, 'URL.canParse');
    return parse(url, base) !== undefined;
  }
  static parse(url, base = undefined) {
    requireArguments(arguments, 1, 'URL.parse');
    const parts = parse(url, base);
    return parts === undefined ? null : new URL(parts[0]);
  }
  static {
    PARTS.forEach((part, index) => {
      const descriptor = {
        configurable: true,
        enumerable: true,
        get() {
          return this.#parts[index];
        },
      };
      if (part !== 'origin') {
        descriptor.set = function (value) {
          this.#set(part, domString(value));
        };
      }
      Object.defineProperty(URL.prototype, part, descriptor);
    });
  }
  #set(part, value) {
    const parts = native.urlSet(this.#parts[0], part, value);
    if (parts === undefined) {
      // Every other part keeps its value.
      if (part === 'href') throw invalid(value);
      return;
    }
    this.#parts = parts;
    if (this.#params !== null && (part === 'search' || part === 'href'))
      replaceParams(this.#params, this.#parts[SEARCH]);
  }
  get searchParams() {
    this.#params ??= paramsOfUrl(this.#parts[SEARCH], (query) => {
      this.#parts = native.urlSet(this.#parts[0], 'search', query);
    });
    return this.#params;
  }
  toJSON() {
    return this.#parts[0];
  }
  toString() {
    return this.#parts[0];
  }
}
defineInterface('URL', URL);
