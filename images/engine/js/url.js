// URL and URLSearchParams, as objects around the engine's URL parser (the `url`
// crate, which follows the WHATWG standard).

function encodeForm(text) {
  return encodeURIComponent(text)
    .replace(/%20/g, '+')
    .replace(
      /[!'()~]/g,
      (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
    );
}

export function makeUrl({ urlParse, urlSet, encode, decode }) {
  function decodeForm(text) {
    if (!/[%+]/.test(text)) return text;
    const source = encode(text);
    const bytes = [];
    for (let i = 0; i < source.length; i++) {
      const hex = source[i] === 0x25 ? hexByte(source, i + 1) : null;
      if (hex !== null) {
        bytes.push(hex);
        i += 2;
      } else {
        bytes.push(source[i] === 0x2b ? 0x20 : source[i]);
      }
    }
    return decode(new Uint8Array(bytes), false);
  }
  /** The byte that two hexadecimal digits at `at` stand for, or null. */
  function hexByte(source, at) {
    const digits = String.fromCharCode(source[at] ?? 0, source[at + 1] ?? 0);
    return /^[0-9a-fA-F]{2}$/.test(digits) ? Number.parseInt(digits, 16) : null;
  }

  class URLSearchParams {
    #pairs = [];
    #changed = null;
    constructor(init = '', changed = null) {
      if (typeof init === 'object' && init !== null) {
        if (typeof init[Symbol.iterator] === 'function') {
          for (const pair of init) {
            const [name, value, ...rest] = pair;
            if (value === undefined || rest.length > 0) {
              throw new TypeError(
                'URLSearchParams: each pair must have exactly two items',
              );
            }
            this.#pairs.push([String(name), String(value)]);
          }
        } else {
          for (const name of Object.keys(init))
            this.#pairs.push([name, String(init[name])]);
        }
      } else {
        this.#parse(String(init));
      }
      this.#changed = typeof changed === 'function' ? changed : null;
    }
    #parse(text) {
      for (const part of text.replace(/^\?/, '').split('&')) {
        if (part === '') continue;
        const equals = part.indexOf('=');
        const name = equals < 0 ? part : part.slice(0, equals);
        const value = equals < 0 ? '' : part.slice(equals + 1);
        this.#pairs.push([decodeForm(name), decodeForm(value)]);
      }
    }
    #update() {
      this.#changed?.(this.toString());
    }
    get size() {
      return this.#pairs.length;
    }
    append(name, value) {
      this.#pairs.push([String(name), String(value)]);
      this.#update();
    }
    delete(name, value) {
      this.#pairs = this.#pairs.filter(
        (pair) =>
          pair[0] !== String(name) ||
          (value !== undefined && pair[1] !== String(value)),
      );
      this.#update();
    }
    get(name) {
      return this.#pairs.find((pair) => pair[0] === String(name))?.[1] ?? null;
    }
    getAll(name) {
      return this.#pairs
        .filter((pair) => pair[0] === String(name))
        .map((pair) => pair[1]);
    }
    has(name, value) {
      return this.#pairs.some(
        (pair) =>
          pair[0] === String(name) &&
          (value === undefined || pair[1] === String(value)),
      );
    }
    set(name, value) {
      const first = this.#pairs.find((pair) => pair[0] === String(name));
      if (first === undefined) {
        this.#pairs.push([String(name), String(value)]);
      } else {
        first[1] = String(value);
        this.#pairs = this.#pairs.filter(
          (pair) => pair === first || pair[0] !== String(name),
        );
      }
      this.#update();
    }
    sort() {
      this.#pairs.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
      this.#update();
    }
    forEach(callback, self) {
      for (const [name, value] of this) callback.call(self, value, name, this);
    }
    *entries() {
      for (const [name, value] of this.#pairs) yield [name, value];
    }
    *keys() {
      for (const [name] of this.#pairs) yield name;
    }
    *values() {
      for (const [, value] of this.#pairs) yield value;
    }
    [Symbol.iterator]() {
      return this.entries();
    }
    toString() {
      return this.#pairs
        .map(([name, value]) => `${encodeForm(name)}=${encodeForm(value)}`)
        .join('&');
    }
  }

  // In the order in which urlParse returns them.
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

  class URL {
    #parts;
    #params = null;
    constructor(url, base) {
      this.#parts = urlParse(
        String(url),
        base === undefined ? undefined : String(base),
      );
      if (this.#parts === undefined) {
        const against = base === undefined ? '' : ` with base '${base}'`;
        throw new TypeError(`Invalid URL: '${url}'${against}`);
      }
    }
    static canParse(url, base) {
      return (
        urlParse(String(url), base === undefined ? undefined : String(base)) !==
        undefined
      );
    }
    static parse(url, base) {
      return URL.canParse(url, base) ? new URL(url, base) : null;
    }
    get searchParams() {
      this.#params ??= new URLSearchParams(this.search, (query) => {
        this.#parts = urlSet(this.#parts[0], 'search', query);
      });
      return this.#params;
    }
    toString() {
      return this.href;
    }
    toJSON() {
      return this.href;
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
            const parts = urlSet(this.#parts[0], part, String(value));
            if (parts === undefined) {
              if (part === 'href')
                throw new TypeError(`Invalid URL: '${value}'`);
              return;
            }
            this.#parts = parts;
            this.#params = null;
          };
        }
        Object.defineProperty(URL.prototype, part, descriptor);
      });
    }
  }
  return { URL, URLSearchParams };
}
