// Event, EventTarget, AbortController, AbortSignal, MessageChannel: the DOM event
// APIs that server rendering uses. There is no tree, so nothing captures or bubbles.

export class Event {
  #type;
  #cancelable;
  defaultPrevented = false;
  target = null;
  currentTarget = null;
  timeStamp = performance.now();
  constructor(type, { cancelable = false } = {}) {
    this.#type = String(type);
    this.#cancelable = Boolean(cancelable);
  }
  get type() {
    return this.#type;
  }
  get cancelable() {
    return this.#cancelable;
  }
  preventDefault() {
    if (this.#cancelable) this.defaultPrevented = true;
  }
  stopPropagation() {}
  stopImmediatePropagation() {
    this.stopped = true;
  }
}

export class CustomEvent extends Event {
  constructor(type, init = {}) {
    super(type, init);
    this.detail = init.detail ?? null;
  }
}

export class EventTarget {
  #listeners = new Map();
  addEventListener(type, listener, options) {
    if (listener == null) return;
    const once = typeof options === 'object' && Boolean(options?.once);
    const list = this.#listeners.get(type) ?? [];
    if (list.some((entry) => entry.listener === listener)) return;
    this.#listeners.set(type, [...list, { listener, once }]);
  }
  removeEventListener(type, listener) {
    const list = this.#listeners.get(type) ?? [];
    this.#listeners.set(
      type,
      list.filter((entry) => entry.listener !== listener),
    );
  }
  dispatchEvent(event) {
    event.target = this;
    event.currentTarget = this;
    const handler = this[`on${event.type}`];
    if (typeof handler === 'function') handler.call(this, event);
    for (const { listener, once } of this.#listeners.get(event.type) ?? []) {
      if (event.stopped) break;
      if (once) this.removeEventListener(event.type, listener);
      if (typeof listener === 'function') listener.call(this, event);
      else listener.handleEvent(event);
    }
    return !event.defaultPrevented;
  }
}

let signalAborted;

export class AbortSignal extends EventTarget {
  aborted = false;
  reason = undefined;
  onabort = null;
  static {
    signalAborted = (signal, reason) => {
      if (signal.aborted) return;
      signal.aborted = true;
      signal.reason = reason;
      signal.dispatchEvent(new Event('abort'));
    };
  }
  throwIfAborted() {
    if (this.aborted) throw this.reason;
  }
  static abort(
    reason = new DOMException('This operation was aborted', 'AbortError'),
  ) {
    const signal = new AbortSignal();
    signalAborted(signal, reason);
    return signal;
  }
  static timeout(milliseconds) {
    const signal = new AbortSignal();
    setTimeout(
      () =>
        signalAborted(
          signal,
          new DOMException('The operation timed out', 'TimeoutError'),
        ),
      milliseconds,
    );
    return signal;
  }
  static any(signals) {
    const combined = new AbortSignal();
    for (const signal of signals) {
      if (signal.aborted) {
        signalAborted(combined, signal.reason);
        break;
      }
      signal.addEventListener(
        'abort',
        () => signalAborted(combined, signal.reason),
        { once: true },
      );
    }
    return combined;
  }
}

export class AbortController {
  signal = new AbortSignal();
  abort(reason = new DOMException('This operation was aborted', 'AbortError')) {
    signalAborted(this.signal, reason);
  }
}

class MessagePort extends EventTarget {
  onmessage = null;
  #peer = null;
  static join(one, other) {
    one.#peer = other;
    other.#peer = one;
  }
  postMessage(data) {
    const peer = this.#peer;
    setTimeout(() => {
      const event = new Event('message');
      event.data = data;
      peer.dispatchEvent(event);
    }, 0);
  }
  start() {}
  close() {}
}

/** Message ports within one realm. React's server renderer schedules its work with them. */
export class MessageChannel {
  port1 = new MessagePort();
  port2 = new MessagePort();
  constructor() {
    MessagePort.join(this.port1, this.port2);
  }
}
