// EventTarget (https://dom.spec.whatwg.org/#interface-eventtarget).

import {
  defineInterface,
  dictionary,
  domString,
  requireArguments,
} from '../webidl.js';
import { onceAborted } from './abort.js';
import { isEvent, stateOf } from './event.js';

/** A listener's options; a boolean stands for `capture`. */
function listenerOptions(options, where) {
  if (typeof options === 'boolean') return { capture: options };
  // Any other value that is no object counts as a boolean, too.
  if (options != null && !['object', 'function'].includes(typeof options))
    return { capture: Boolean(options) };
  return dictionary(options, where);
}

/** An EventListener: a function, an object with `handleEvent`, or null. */
function eventListener(callback, where) {
  if (callback === null || callback === undefined) return null;
  if (typeof callback === 'object' || typeof callback === 'function')
    return callback;
  throw new TypeError(
    `${where}: the listener must be a function or an object with handleEvent, not ${typeof callback}`,
  );
}

function call(callback, target, event) {
  try {
    if (typeof callback === 'function') {
      callback.call(target, event);
      return;
    }
    const { handleEvent } = callback;
    if (typeof handleEvent !== 'function')
      throw new TypeError('the listener has no function handleEvent');
    handleEvent.call(callback, event);
  } catch (error) {
    // As in a browser: it ends neither the dispatch nor the page.
    console.error(`a listener of the event '${event.type}' failed:`, error);
  }
}

let fireTrusted;

export class EventTarget {
  // Type -> listeners, in the order in which they were added.
  #listeners = new Map();
  static {
    fireTrusted = (target, event) => {
      stateOf(event).trusted = true;
      target.#dispatch(event);
    };
  }
  #remove(type, entry) {
    entry.removed = true;
    const list = this.#listeners.get(type) ?? [];
    this.#listeners.set(
      type,
      list.filter((other) => other !== entry),
    );
  }
  #find(type, callback, capture) {
    const list = this.#listeners.get(type) ?? [];
    return list.find(
      (entry) => entry.callback === callback && entry.capture === capture,
    );
  }
  addEventListener(type, callback, options = undefined) {
    const where = 'EventTarget.addEventListener';
    requireArguments(arguments, 2, where);
    type = domString(type);
    const listener = eventListener(callback, where);
    const { capture, once, passive, signal } = listenerOptions(options, where);
    const whenAborted =
      signal === undefined ? null : onceAborted(signal, where);
    if (listener === null || signal?.aborted) return;
    if (this.#find(type, listener, Boolean(capture))) return;
    const entry = {
      callback: listener,
      capture: Boolean(capture),
      once: Boolean(once),
      passive: Boolean(passive),
      removed: false,
    };
    const list = this.#listeners.get(type) ?? [];
    this.#listeners.set(type, [...list, entry]);
    whenAborted?.(() => this.#remove(type, entry));
  }
  removeEventListener(type, callback, options = undefined) {
    const where = 'EventTarget.removeEventListener';
    requireArguments(arguments, 2, where);
    type = domString(type);
    const listener = eventListener(callback, where);
    const { capture } = listenerOptions(options, where);
    const entry = this.#find(type, listener, Boolean(capture));
    if (entry) this.#remove(type, entry);
  }
  dispatchEvent(event) {
    const where = 'EventTarget.dispatchEvent';
    requireArguments(arguments, 1, where);
    if (!isEvent(event))
      throw new TypeError(`${where}: the argument must be an Event`);
    if (stateOf(event).dispatching) {
      throw new DOMException(
        `${where}: the event is being dispatched already`,
        'InvalidStateError',
      );
    }
    stateOf(event).trusted = false;
    return this.#dispatch(event);
  }
  #dispatch(event) {
    const state = stateOf(event);
    state.dispatching = true;
    state.target = this;
    state.currentTarget = this;
    // Captures come first. What listeners add is not called for this event.
    const list = this.#listeners.get(event.type) ?? [];
    const ordered = list.some((entry) => entry.capture)
      ? [...list].sort((a, b) => b.capture - a.capture)
      : list;
    for (const entry of state.stopped ? [] : ordered) {
      if (entry.removed) continue;
      if (entry.once) this.#remove(event.type, entry);
      state.passive = entry.passive;
      call(entry.callback, this, event);
      state.passive = false;
      if (state.stoppedAtOnce) break;
    }
    state.dispatching = false;
    state.currentTarget = null;
    state.stopped = false;
    state.stoppedAtOnce = false;
    return !state.canceled;
  }
}
defineInterface('EventTarget', EventTarget);

/** Dispatches an event of the engine's own. */
export function fire(target, event) {
  fireTrusted(target, event);
}

/**
 * Gives a class the attribute `on…` for events of `type`. Its handler takes its turn
 * among the listeners from when it was first set.
 */
export function defineHandler(Class, type) {
  const handlers = new WeakMap();
  Object.defineProperty(Class.prototype, `on${type}`, {
    enumerable: true,
    configurable: true,
    get() {
      return handlers.get(this)?.handler ?? null;
    },
    set(value) {
      const handler =
        typeof value === 'function' ||
        (typeof value === 'object' && value !== null)
          ? value
          : null;
      const known = handlers.get(this);
      if (known && handler !== null) {
        known.handler = handler;
      } else if (known) {
        handlers.delete(this);
        this.removeEventListener(type, known.listener);
      } else if (handler !== null) {
        const entry = { handler };
        entry.listener = (event) => {
          if (typeof entry.handler !== 'function') return;
          if (entry.handler.call(this, event) === false) event.preventDefault();
        };
        handlers.set(this, entry);
        this.addEventListener(type, entry.listener);
      }
    },
  });
}
