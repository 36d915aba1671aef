// What is shown of the web APIs' objects, whose state is not in properties.

import { key } from './inspect_text.js';
import * as classes from './interfaces.js';

// A namespace is no object to look into by a name that is not known before.
const OF = { ...classes };

/** What is shown of the web APIs' objects, whose state is not in properties. */
const VIEWS = [
  ['Headers', (headers) => pairs([...headers])],
  ['FormData', (form) => pairs([...form])],
  [
    'URLSearchParams',
    (params, show) =>
      [...params].map(([name, value]) => `${show(name)} => ${show(value)}`),
  ],
  [
    'URL',
    fields(
      'href origin protocol username password host hostname port pathname search searchParams hash',
    ),
  ],
  ['Request', fields('method url headers redirect signal')],
  [
    'Response',
    fields('status statusText headers body bodyUsed ok redirected type url'),
  ],
  ['AbortController', fields('signal')],
  ['AbortSignal', fields('aborted')],
  ['File', fields('size type name lastModified')],
  ['Blob', fields('size type')],
  ['TextDecoder', fields('encoding fatal ignoreBOM')],
  ['TextEncoder', fields('encoding')],
  ['ReadableStream', fields('locked')],
  ['WritableStream', fields('locked')],
  ['TransformStream', fields('readable writable')],
  ['Event', fields('type defaultPrevented cancelable timeStamp')],
];

function fields(names) {
  return (object, show) =>
    names.split(' ').map((name) => `${name}: ${show(object[name])}`);
}

function pairs(entries) {
  const view = Object.create(null);
  for (const [name, value] of entries) view[name] = value;
  return (show) =>
    Object.keys(view).map((name) => `${key(name)}: ${show(view[name])}`);
}

/** How an object of the web APIs is shown; undefined for any other. */
export function viewOf(object) {
  return VIEWS.find(([type]) => object instanceof OF[type])?.[1];
}
