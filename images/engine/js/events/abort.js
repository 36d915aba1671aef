// AbortController and AbortSignal (https://dom.spec.whatwg.org/#aborting-ongoing-activities).

import { defineInterface, isSequence, requireArguments } from '../webidl.js';
import { Event } from './event.js';
import { defineHandler, EventTarget, fire } from './event_target.js';

const aborted = () =>
  new DOMException('This operation was aborted', 'AbortError');

/** What a signal is made with, so that nobody else can make one. */
const KEY = Symbol('AbortSignal');

let signalAbort;

/**
 * The function that registers what is done when `signal` aborts, before anybody hears
 * the event. Throws if it is not a signal.
 */
export let onceAborted;

function checkSignal(signal, where) {
  if (signal instanceof AbortSignal) return signal;
  throw new TypeError(`${where}: signal must be an AbortSignal`);
}

export class AbortSignal extends EventTarget {
  #aborted = false;
  #reason = undefined;
  #steps = [];
  // Signals made from this one by `any`; and, of such a signal, those it was made from.
  #dependents = [];
  #sources = null;
  constructor(key = undefined) {
    if (key !== KEY) {
      throw new TypeError(
        'AbortSignal cannot be constructed: use new AbortController().signal',
      );
    }
    super();
  }
  static {
    signalAbort = (signal, reason) => {
      if (signal.#aborted) return;
      signal.#set(reason);
      const dependents = signal.#dependents.filter((other) => !other.#aborted);
      for (const dependent of dependents) dependent.#set(signal.#reason);
      for (const each of [signal, ...dependents]) each.#run();
    };
    onceAborted = (signal, where) => {
      checkSignal(signal, where);
      return (step) => signal.#steps.push(step);
    };
  }
  #set(reason) {
    this.#aborted = true;
    this.#reason = reason === undefined ? aborted() : reason;
  }
  #run() {
    for (const step of this.#steps.splice(0)) step();
    fire(this, new Event('abort'));
  }
  static abort(reason = undefined) {
    const signal = new AbortSignal(KEY);
    signal.#set(reason);
    return signal;
  }
  static any(signals) {
    const where = 'AbortSignal.any';
    requireArguments(arguments, 1, where);
    if (!isSequence(signals))
      throw new TypeError(`${where}: expected a list of signals`);
    const list = Array.from(signals, (signal) => checkSignal(signal, where));
    const combined = new AbortSignal(KEY);
    const first = list.find((signal) => signal.#aborted);
    if (first) {
      combined.#set(first.#reason);
      return combined;
    }
    // Those that abort by themselves: a signal of signals only passes theirs on.
    combined.#sources = new Set(
      list.flatMap((signal) => [...(signal.#sources ?? [signal])]),
    );
    for (const source of combined.#sources) source.#dependents.push(combined);
    return combined;
  }
  static timeout(milliseconds) {
    const where = 'AbortSignal.timeout';
    requireArguments(arguments, 1, where);
    const delay = Math.trunc(+milliseconds);
    if (!(delay >= 0 && delay <= Number.MAX_SAFE_INTEGER)) {
      throw new TypeError(
        `${where}: '${milliseconds}' is not a number of milliseconds from 0 on`,
      );
    }
    const signal = new AbortSignal(KEY);
    const timedOut = () =>
      signalAbort(
        signal,
        new DOMException(
          'The operation was aborted due to timeout',
          'TimeoutError',
        ),
      );
    setTimeout(timedOut, delay);
    return signal;
  }
  get aborted() {
    return this.#aborted;
  }
  get reason() {
    return this.#reason;
  }
  throwIfAborted() {
    if (this.#aborted) throw this.#reason;
  }
}
defineInterface('AbortSignal', AbortSignal);
defineHandler(AbortSignal, 'abort');

export class AbortController {
  #signal = new AbortSignal(KEY);
  get signal() {
    return this.#signal;
  }
  abort(reason = undefined) {
    signalAbort(this.#signal, reason);
  }
}
defineInterface('AbortController', AbortController);
