// Headers, as defined by the Fetch standard.

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

function headerName(name) {
  const text = String(name);
  if (!TOKEN.test(text))
    throw new TypeError(`Headers: invalid header name '${text}'`);
  return text.toLowerCase();
}

function headerValue(name, value) {
  const text = String(value).trim();
  // Header values are Latin-1 without control characters; the server rejects anything else.
  if (/[\0\r\n]|[^\t\x20-\xff]/.test(text)) {
    throw new TypeError(
      `Headers: the value of '${name}' contains a character that is not allowed in headers`,
    );
  }
  return text;
}

/** Creates Headers from the host's text, `name\nvalue\n` for each header. */
export let adoptHeaders;
/** Returns Headers as text for the host, `name\nvalue\n` for each header. */
export let flattenHeaders;

export class Headers {
  // Maps names to lists of values. Parsed from the host's flat text on first access.
  #values = null;
  #flat = null;
  constructor(init) {
    if (init == null) return;
    if (typeof init !== 'object')
      throw new TypeError(
        'Headers: expected an object, pairs or another Headers',
      );
    if (typeof init[Symbol.iterator] === 'function') {
      for (const pair of init) {
        const [name, value, ...rest] = pair;
        if (value === undefined || rest.length > 0) {
          throw new TypeError('Headers: each pair must have exactly two items');
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
