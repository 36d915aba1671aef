// Headers (https://fetch.spec.whatwg.org/#headers-class).

import { native } from '../native.js';
import {
  byteString,
  defineInterface,
  definePairs,
  domString,
  pairs,
  requireArguments,
} from '../webidl.js';

function headerName(name, where) {
  const text = domString(name);
  const key = native.headerName(text);
  if (key !== undefined) return key;
  throw new TypeError(`${where}: invalid header name '${text}'`);
}

function headerValue(name, value, where) {
  const text = domString(value);
  const normal = native.headerValue(text);
  if (normal !== undefined) return normal;
  byteString(text, where);
  throw new TypeError(
    `${where}: the value of '${name}' contains a character that is not allowed in headers`,
  );
}

/** Creates Headers from the host's text, `name\nvalue\n` for each header. */
export let adoptHeaders;
/** Returns Headers as text for the host, `name\nvalue\n` for each header. */
export let flattenHeaders;
/** Makes Headers refuse changes, as those of `Response.redirect()` do. */
export let freezeHeaders;
/** Sets the Content-Type of a body, unless there is one. */
export let addContentType;
/** Whether a value is a Headers that gives its pairs as every Headers does. */
let isUnchanged;
let sortedPairs;

export class Headers {
  // Maps names to lists of values. Parsed from the host's flat text on first access.
  #values = null;
  #flat = null;
  #sorted = null;
  #frozen = false;
  constructor(init = undefined) {
    if (init === undefined) return;
    if (isUnchanged(init)) {
      for (const [name, values] of init.#map())
        this.#map().set(name, [...values]);
      return;
    }
    for (const [name, value] of pairs(init, domString, 'Headers'))
      this.#append(name, value, 'Headers');
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
    freezeHeaders = (headers) => {
      headers.#frozen = true;
      return headers;
    };
    addContentType = (headers, type) => {
      const map = headers.#map();
      if (!map.has('content-type')) map.set('content-type', [type]);
    };
    isUnchanged = (value) =>
      typeof value === 'object' &&
      value !== null &&
      #values in value &&
      value[Symbol.iterator] === Headers.prototype.entries;
    sortedPairs = (headers) => headers.#pairs();
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
  #changeable(where) {
    if (this.#frozen)
      throw new TypeError(`${where}: these headers cannot be changed`);
    this.#sorted = null;
    return this.#map();
  }
  #append(name, value, where) {
    const key = headerName(name, where);
    const text = headerValue(key, value, where);
    const map = this.#changeable(where);
    const list = map.get(key);
    if (list === undefined) map.set(key, [text]);
    else list.push(text);
  }
  #combined(key) {
    // Cookies are the one list that is not separated by commas (RFC 6265, 5.4).
    const separator = key === 'cookie' ? '; ' : ', ';
    return this.#map().get(key)?.join(separator) ?? null;
  }
  #pairs() {
    if (this.#sorted === null) {
      const map = this.#map();
      this.#sorted = [...map.keys()].sort().flatMap((name) =>
        // The one header whose values cannot be combined.
        name === 'set-cookie'
          ? map.get(name).map((value) => [name, value])
          : [[name, this.#combined(name)]],
      );
    }
    return this.#sorted;
  }
  append(name, value) {
    requireArguments(arguments, 2, 'Headers.append');
    this.#append(name, value, 'Headers.append');
  }
  delete(name) {
    requireArguments(arguments, 1, 'Headers.delete');
    const key = headerName(name, 'Headers.delete');
    this.#changeable('Headers.delete').delete(key);
  }
  get(name) {
    requireArguments(arguments, 1, 'Headers.get');
    return this.#combined(headerName(name, 'Headers.get'));
  }
  getSetCookie() {
    return [...(this.#map().get('set-cookie') ?? [])];
  }
  has(name) {
    requireArguments(arguments, 1, 'Headers.has');
    return this.#map().has(headerName(name, 'Headers.has'));
  }
  set(name, value) {
    const where = 'Headers.set';
    requireArguments(arguments, 2, where);
    const key = headerName(name, where);
    const text = headerValue(key, value, where);
    this.#changeable(where).set(key, [text]);
  }
}
defineInterface('Headers', Headers);
definePairs('Headers', Headers, (headers) => sortedPairs(headers));
