// FormData (https://xhr.spec.whatwg.org/#interface-formdata).

import {
  defineInterface,
  definePairs,
  requireArguments,
  usvString,
} from '../webidl.js';
import { Blob, File } from './blob.js';

let pairsOf;

/** An entry's value: a text, or a File. */
function entryValue(value, filename, where) {
  if (!(value instanceof Blob)) {
    if (filename === undefined) return usvString(value);
    throw new TypeError(`${where}: only a Blob can have a file name`);
  }
  if (value instanceof File && filename === undefined) return value;
  const name = filename === undefined ? 'blob' : usvString(filename);
  const { type, lastModified } = value;
  return new File([value], name, { type, lastModified });
}

export class FormData {
  #pairs = [];
  constructor(form = undefined) {
    if (form !== undefined)
      throw new TypeError(
        'FormData: there are no forms here to take data from',
      );
  }
  static {
    pairsOf = (form) => form.#pairs;
  }
  append(name, value, filename = undefined) {
    const where = 'FormData.append';
    requireArguments(arguments, 2, where);
    this.#pairs.push([usvString(name), entryValue(value, filename, where)]);
  }
  delete(name) {
    requireArguments(arguments, 1, 'FormData.delete');
    const key = usvString(name);
    this.#pairs = this.#pairs.filter((pair) => pair[0] !== key);
  }
  get(name) {
    requireArguments(arguments, 1, 'FormData.get');
    const key = usvString(name);
    return this.#pairs.find((pair) => pair[0] === key)?.[1] ?? null;
  }
  getAll(name) {
    requireArguments(arguments, 1, 'FormData.getAll');
    const key = usvString(name);
    return this.#pairs.filter((pair) => pair[0] === key).map((pair) => pair[1]);
  }
  has(name) {
    requireArguments(arguments, 1, 'FormData.has');
    const key = usvString(name);
    return this.#pairs.some((pair) => pair[0] === key);
  }
  set(name, value, filename = undefined) {
    const where = 'FormData.set';
    requireArguments(arguments, 2, where);
    const pair = [usvString(name), entryValue(value, filename, where)];
    const first = this.#pairs.findIndex(([key]) => key === pair[0]);
    if (first < 0) {
      this.#pairs.push(pair);
      return;
    }
    this.#pairs = this.#pairs.filter(
      ([key], index) => index <= first || key !== pair[0],
    );
    this.#pairs[first] = pair;
  }
}
defineInterface('FormData', FormData);
definePairs('FormData', FormData, (form) => pairsOf(form));
