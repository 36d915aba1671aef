// Web IDL (https://webidl.spec.whatwg.org): how web APIs convert their arguments, and
// what their interfaces look like from outside.

/**
 * Throws unless a call had `count` arguments. `where` names the call in messages. Callers
 * pass `arguments`: with rest parameters their `length` would be wrong.
 */
export function requireArguments(args, count, where) {
  if (args.length >= count) return;
  const needed = count === 1 ? '1 argument' : `${count} arguments`;
  throw new TypeError(`${where}: ${needed} required, got ${args.length}`);
}

/** DOMString: any text. Unlike `String(value)`, this refuses symbols. */
export const domString = (value) => `${value}`;

/** USVString: text in which each lone surrogate has become U+FFFD. */
export function usvString(value) {
  const text = `${value}`;
  // Nearly every text is well-formed, and need not be copied.
  return text.isWellFormed() ? text : text.toWellFormed();
}

/** ByteString: text whose characters are bytes, as in HTTP. */
export function byteString(value, where) {
  const text = `${value}`;
  const wide = /[^\0-\xff]/.exec(text);
  if (wide === null) return text;
  const code = wide[0].charCodeAt(0).toString(16).toUpperCase();
  throw new TypeError(
    `${where}: '${text}' has a character above U+00FF (U+${code.padStart(4, '0')}), which HTTP cannot carry`,
  );
}

/** unsigned short: numbers wrap around, as in C. */
export const unsignedShort = (value) => +value & 0xffff;

/** One of the strings in `accepted`. */
export function enumeration(value, accepted, where) {
  const text = `${value}`;
  if (accepted.includes(text)) return text;
  throw new TypeError(
    `${where}: '${text}' is not one of ${accepted.map((item) => `'${item}'`).join(', ')}`,
  );
}

const isObject = (value) =>
  (typeof value === 'object' && value !== null) || typeof value === 'function';

/** A dictionary: an object, or undefined and null for an empty one. */
export function dictionary(value, where) {
  if (value === undefined || value === null) return {};
  if (isObject(value)) return value;
  throw new TypeError(`${where}: expected an object, got ${typeof value}`);
}

/** A callback function. */
export function callbackFunction(value, where) {
  if (typeof value === 'function') return value;
  throw new TypeError(`${where}: expected a function, got ${typeof value}`);
}

/** A copy of the bytes of an ArrayBuffer or of a view of one; null for anything else. */
export function copyBytes(value) {
  if (ArrayBuffer.isView(value))
    return new Uint8Array(
      value.buffer,
      value.byteOffset,
      value.byteLength,
    ).slice();
  if (value instanceof ArrayBuffer) return new Uint8Array(value).slice();
  return null;
}

/** Whether a value takes the place of a sequence, and not of a record. */
export function isSequence(value) {
  return isObject(value) && value[Symbol.iterator] != null;
}

/**
 * Pairs of texts: from a sequence of pairs, or from an object's own properties. Each
 * text is converted by `convert`.
 */
export function pairs(init, convert, where) {
  if (!isObject(init)) {
    throw new TypeError(
      `${where}: expected an object or pairs, got ${init === null ? 'null' : typeof init}`,
    );
  }
  if (isSequence(init)) {
    return Array.from(init, (item) => {
      if (!isSequence(item))
        throw new TypeError(`${where}: each pair must be a list of two items`);
      const pair = [...item];
      if (pair.length !== 2) {
        throw new TypeError(
          `${where}: each pair must have two items, not ${pair.length}`,
        );
      }
      return [convert(pair[0]), convert(pair[1])];
    });
  }
  // Of two names that become equal by their conversion, the later one counts.
  const record = new Map();
  for (const key of Reflect.ownKeys(init)) {
    if (Object.getOwnPropertyDescriptor(init, key)?.enumerable)
      record.set(convert(key), convert(init[key]));
  }
  return [...record];
}

/**
 * Gives a class the shape of an interface: a name, members that can be enumerated, and
 * those of `mixin`, a class from which it inherits.
 */
export function defineInterface(name, Class, mixin = null) {
  const prototype = Class.prototype;
  if (mixin !== null) {
    const { constructor: _, ...members } = Object.getOwnPropertyDescriptors(
      mixin.prototype,
    );
    Object.defineProperties(prototype, members);
    Object.setPrototypeOf(prototype, Object.prototype);
  }
  Object.defineProperty(Class, 'name', { value: name, configurable: true });
  for (const owner of [prototype, Class]) {
    for (const key of Object.getOwnPropertyNames(owner)) {
      if (['constructor', 'prototype', 'name', 'length'].includes(key))
        continue;
      Object.defineProperty(owner, key, { enumerable: true });
    }
  }
  Object.defineProperty(prototype, Symbol.toStringTag, {
    value: name,
    configurable: true,
  });
}

const IteratorPrototype = Object.getPrototypeOf(
  Object.getPrototypeOf([][Symbol.iterator]()),
);

/**
 * Makes a class iterable over pairs. `pairsOf(object)` returns them as they are now: an
 * iterator sees changes that are made while it runs.
 */
export function definePairs(name, Class, pairsOf) {
  class PairIterator {
    #of;
    #kind;
    #index = 0;
    constructor(of, kind) {
      this.#of = of;
      this.#kind = kind;
    }
    next() {
      const list = pairsOf(this.#of);
      if (this.#index >= list.length) return { value: undefined, done: true };
      const [key, value] = list[this.#index++];
      const result =
        this.#kind === 'keys'
          ? key
          : this.#kind === 'values'
            ? value
            : [key, value];
      return { value: result, done: false };
    }
  }
  defineInterface(`${name} Iterator`, PairIterator);
  delete PairIterator.prototype.constructor;
  Object.setPrototypeOf(PairIterator.prototype, IteratorPrototype);

  const iterate = (of, kind) => {
    // Throws if it is not an object of the class.
    pairsOf(of);
    return new PairIterator(of, kind);
  };
  const members = {
    entries() {
      return iterate(this, 'entries');
    },
    forEach(callback, self = undefined) {
      requireArguments(arguments, 1, `${name}.forEach`);
      callbackFunction(callback, `${name}.forEach`);
      for (let index = 0; index < pairsOf(this).length; index++) {
        const [key, value] = pairsOf(this)[index];
        callback.call(self, value, key, this);
      }
    },
    keys() {
      return iterate(this, 'keys');
    },
    values() {
      return iterate(this, 'values');
    },
  };
  for (const [key, value] of Object.entries(members)) {
    Object.defineProperty(Class.prototype, key, {
      value,
      writable: true,
      enumerable: true,
      configurable: true,
    });
  }
  Object.defineProperty(Class.prototype, Symbol.iterator, {
    value: Class.prototype.entries,
    writable: true,
    configurable: true,
  });
}
