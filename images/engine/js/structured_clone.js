// structuredClone (https://html.spec.whatwg.org/#structured-cloning).

import {
  ReadableStream,
  TransformStream,
  WritableStream,
} from 'web-streams-polyfill';
import { Event } from './events/event.js';
import { EventTarget } from './events/event_target.js';
import { Headers } from './fetch/headers.js';
import { Request } from './fetch/request.js';
import { Response } from './fetch/response.js';
import { Blob, File } from './files/blob.js';
import { FormData } from './files/form_data.js';
import { URLSearchParams } from './url/search_params.js';
import { URL } from './url/url.js';
import { dictionary, isSequence, requireArguments } from './webidl.js';

/** Objects of which there can be no copy. */
const UNIQUE = [
  EventTarget,
  Event,
  FormData,
  Headers,
  Promise,
  ReadableStream,
  Request,
  Response,
  TransformStream,
  URL,
  URLSearchParams,
  WeakMap,
  WeakRef,
  WeakSet,
  WritableStream,
];
const WRAPPERS = [Boolean, Number, String, BigInt];
const ERRORS = {
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
};

function refuse(what) {
  throw new DOMException(`${what} cannot be cloned`, 'DataCloneError');
}

function nameOf(value) {
  return `an object of ${Object.getPrototypeOf(value)?.constructor?.name ?? 'an unknown class'}`;
}

function cloneError(error, clone, remember) {
  const name = error.name === undefined ? 'Error' : `${error.name}`;
  const message = Object.getOwnPropertyDescriptor(error, 'message')?.value;
  const Class = ERRORS[name] ?? Error;
  const copy = remember(
    message === undefined ? new Class() : new Class(`${message}`),
  );
  const rest = { stack: error.stack };
  if (Object.hasOwn(error, 'cause')) rest.cause = clone(error.cause);
  for (const [key, value] of Object.entries(rest)) {
    Object.defineProperty(copy, key, {
      value,
      writable: true,
      configurable: true,
    });
  }
}

function cloneBuffer(buffer, remember) {
  if (!buffer.resizable) {
    remember(buffer.slice(0));
    return;
  }
  const copy = remember(
    new ArrayBuffer(buffer.byteLength, { maxByteLength: buffer.maxByteLength }),
  );
  new Uint8Array(copy).set(new Uint8Array(buffer));
}

function cloneView(view, clone, remember) {
  const buffer = clone(view.buffer);
  const length = view instanceof DataView ? view.byteLength : view.length;
  remember(
    new globalThis[Object.prototype.toString.call(view).slice(8, -1)](
      buffer,
      view.byteOffset,
      length,
    ),
  );
}

/** Clones what is neither a primitive value nor known already. */
function cloneObject(value, clone, remember) {
  if (typeof value === 'function') refuse(`the function '${value.name}'`);
  if (WRAPPERS.some((Class) => value instanceof Class))
    remember(Object(value.valueOf()));
  else if (value instanceof Date) remember(new Date(+value));
  else if (value instanceof RegExp)
    remember(new RegExp(value.source, value.flags));
  else if (value instanceof ArrayBuffer) cloneBuffer(value, remember);
  else if (ArrayBuffer.isView(value)) cloneView(value, clone, remember);
  else if (value instanceof Map) {
    const entries = [...value];
    const copy = remember(new Map());
    for (const [key, item] of entries) copy.set(clone(key), clone(item));
  } else if (value instanceof Set) {
    const items = [...value];
    const copy = remember(new Set());
    for (const item of items) copy.add(clone(item));
  } else if (value instanceof DOMException) {
    remember(new DOMException(value.message, value.name));
  } else if (value instanceof Error) cloneError(value, clone, remember);
  else if (value instanceof File) {
    const { name, type, lastModified } = value;
    remember(new File([value], name, { type, lastModified }));
  } else if (value instanceof Blob)
    remember(value.slice(0, value.size, value.type));
  else if (UNIQUE.some((Class) => value instanceof Class))
    refuse(nameOf(value));
  else {
    const copy = remember(Array.isArray(value) ? new Array(value.length) : {});
    for (const key of Object.keys(value)) {
      // A getter may have removed it.
      if (!Object.hasOwn(value, key)) continue;
      Object.defineProperty(copy, key, {
        value: clone(value[key]),
        writable: true,
        enumerable: true,
        configurable: true,
      });
    }
  }
}

/** The buffers that the option `transfer` lists. */
function transferred(options) {
  const { transfer = [] } = dictionary(options, 'structuredClone: the options');
  if (!isSequence(transfer))
    throw new TypeError('structuredClone: transfer must be a list');
  const list = [...transfer];
  for (const item of list) {
    if (typeof item !== 'object' || item === null)
      throw new TypeError('structuredClone: transfer must list objects');
    if (!(item instanceof ArrayBuffer))
      refuse(`${nameOf(item)} is not transferred here, and`);
    if (item.detached) refuse('a detached ArrayBuffer');
  }
  if (new Set(list).size < list.length)
    refuse('an ArrayBuffer that is listed twice');
  return list;
}

/** A deep copy of `value`. The buffers in `options.transfer` are moved, not copied. */
export function structuredClone(value, options = {}) {
  requireArguments(arguments, 1, 'structuredClone');
  const moved = transferred(options);
  const copies = new Map();
  const clone = (value) => {
    if (typeof value === 'symbol') refuse(`the symbol '${value.toString()}'`);
    if (value === null || !['object', 'function'].includes(typeof value))
      return value;
    if (!copies.has(value)) {
      cloneObject(value, clone, (copy) => {
        copies.set(value, copy);
        return copy;
      });
    }
    return copies.get(value);
  };
  const copy = clone(value);
  for (const buffer of moved) buffer.transfer();
  return copy;
}
