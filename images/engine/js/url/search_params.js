// URLSearchParams (https://url.spec.whatwg.org/#interface-urlsearchparams), on top of the
// engine's parser and serializer for forms.

import { native } from '../native.js';
import {
  defineInterface,
  definePairs,
  domString,
  pairs,
  requireArguments,
  usvString,
} from '../webidl.js';

/** The parameters of a URL's query; `changed(query)` is called when they change. */
export let paramsOfUrl;
/** Gives parameters a new query, which came from their URL. */
export let replaceParams;
let pairsOf;

const withoutMark = (query) => (query[0] === '?' ? query.slice(1) : query);

export class URLSearchParams {
  #pairs = [];
  #changed = null;
  constructor(init = '') {
    const isObject =
      (typeof init === 'object' && init !== null) || typeof init === 'function';
    this.#pairs = isObject
      ? pairs(init, usvString, 'URLSearchParams')
      : native.formParse(withoutMark(domString(init)));
  }
  static {
    paramsOfUrl = (query, changed) => {
      const params = new URLSearchParams(query);
      params.#changed = changed;
      return params;
    };
    replaceParams = (params, query) => {
      params.#pairs = native.formParse(withoutMark(query));
    };
    pairsOf = (params) => params.#pairs;
  }
  #update() {
    this.#changed?.(this.toString());
  }
  get size() {
    return this.#pairs.length;
  }
  append(name, value) {
    requireArguments(arguments, 2, 'URLSearchParams.append');
    this.#pairs.push([usvString(name), usvString(value)]);
    this.#update();
  }
  delete(name, value = undefined) {
    requireArguments(arguments, 1, 'URLSearchParams.delete');
    const key = usvString(name);
    const wanted = value === undefined ? undefined : usvString(value);
    this.#pairs = this.#pairs.filter(
      (pair) => pair[0] !== key || (wanted !== undefined && pair[1] !== wanted),
    );
    this.#update();
  }
  get(name) {
    requireArguments(arguments, 1, 'URLSearchParams.get');
    const key = usvString(name);
    return this.#pairs.find((pair) => pair[0] === key)?.[1] ?? null;
  }
  getAll(name) {
    requireArguments(arguments, 1, 'URLSearchParams.getAll');
    const key = usvString(name);
    return this.#pairs.filter((pair) => pair[0] === key).map((pair) => pair[1]);
  }
  has(name, value = undefined) {
    requireArguments(arguments, 1, 'URLSearchParams.has');
    const key = usvString(name);
    const wanted = value === undefined ? undefined : usvString(value);
    return this.#pairs.some(
      (pair) => pair[0] === key && (wanted === undefined || pair[1] === wanted),
    );
  }
  set(name, value) {
    requireArguments(arguments, 2, 'URLSearchParams.set');
    const key = usvString(name);
    const text = usvString(value);
    const first = this.#pairs.find((pair) => pair[0] === key);
    if (first === undefined) {
      this.#pairs.push([key, text]);
    } else {
      first[1] = text;
      this.#pairs = this.#pairs.filter(
        (pair) => pair === first || pair[0] !== key,
      );
    }
    this.#update();
  }
  sort() {
    this.#pairs.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
    this.#update();
  }
  toString() {
    return native.formSerialize(this.#pairs.flat());
  }
}
defineInterface('URLSearchParams', URLSearchParams);
definePairs('URLSearchParams', URLSearchParams, (params) => pairsOf(params));
