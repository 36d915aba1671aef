// MessageChannel and MessagePort (https://html.spec.whatwg.org/#message-channels), within
// one realm. React's server renderer schedules its work with them.

import { structuredClone } from '../structured_clone.js';
import { defineInterface, isSequence, requireArguments } from '../webidl.js';
import { Event, MessageEvent } from './event.js';
import { defineHandler, EventTarget, fire } from './event_target.js';

const KEY = Symbol('MessagePort');

let join;

export class MessagePort extends EventTarget {
  #peer = null;
  // Messages that arrived before the port was started; null from then on.
  #waiting = [];
  constructor(key = undefined) {
    if (key !== KEY) {
      throw new TypeError(
        'MessagePort cannot be constructed: use new MessageChannel()',
      );
    }
    super();
  }
  static {
    join = (one, other) => {
      one.#peer = other;
      other.#peer = one;
    };
  }
  addEventListener(type, callback, options = undefined) {
    super.addEventListener(type, callback, options);
    // By the standard a listener needs `start()`, too. In Node it does not.
    if (`${type}` === 'message') this.start();
  }
  #deliver(data) {
    setTimeout(() => {
      if (this.#peer !== null)
        fire(this, new MessageEvent('message', { data }));
    }, 0);
  }
  postMessage(message, options = {}) {
    requireArguments(arguments, 1, 'MessagePort.postMessage');
    const transfer = isSequence(options) ? options : options?.transfer;
    const copy = structuredClone(message, { transfer });
    const peer = this.#peer;
    if (peer === null) return;
    if (peer.#waiting === null) peer.#deliver(copy);
    else peer.#waiting.push(copy);
  }
  start() {
    const waiting = this.#waiting ?? [];
    this.#waiting = null;
    for (const message of waiting) this.#deliver(message);
  }
  close() {
    const peer = this.#peer;
    this.#peer = null;
    if (peer === null) return;
    peer.#peer = null;
    setTimeout(() => fire(peer, new Event('close')), 0);
  }
}
defineInterface('MessagePort', MessagePort);
defineHandler(MessagePort, 'close');
defineHandler(MessagePort, 'message');
defineHandler(MessagePort, 'messageerror');

export class MessageChannel {
  #port1 = new MessagePort(KEY);
  #port2 = new MessagePort(KEY);
  constructor() {
    join(this.#port1, this.#port2);
  }
  get port1() {
    return this.#port1;
  }
  get port2() {
    return this.#port2;
  }
}
defineInterface('MessageChannel', MessageChannel);
