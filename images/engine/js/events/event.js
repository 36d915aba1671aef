// Event and its kinds (https://dom.spec.whatwg.org/#interface-event). There is no tree
// here: an event has one target and neither captures nor bubbles.

import { native } from '../native.js';
import {
  defineInterface,
  dictionary,
  domString,
  requireArguments,
  usvString,
} from '../webidl.js';

const PHASES = {
  NONE: 0,
  CAPTURING_PHASE: 1,
  AT_TARGET: 2,
  BUBBLING_PHASE: 3,
};

/** The state of an event that was not dispatched. */
const unsent = () => ({
  target: null,
  currentTarget: null,
  dispatching: false,
  stopped: false,
  stoppedAtOnce: false,
  passive: false,
  canceled: false,
  trusted: false,
});

/** Whether a value is an Event. */
export let isEvent;
/** An event's state, which EventTarget changes while it dispatches the event. */
export let stateOf;

export class Event {
  #type;
  #bubbles;
  #cancelable;
  #composed;
  #time = native.now();
  #state = unsent();
  constructor(type, init = {}) {
    requireArguments(arguments, 1, 'Event');
    const { bubbles, cancelable, composed } = dictionary(
      init,
      'Event: the options',
    );
    this.#type = domString(type);
    this.#bubbles = Boolean(bubbles);
    this.#cancelable = Boolean(cancelable);
    this.#composed = Boolean(composed);
  }
  static {
    isEvent = (value) =>
      typeof value === 'object' && value !== null && #state in value;
    stateOf = (event) => event.#state;
  }
  #cancel() {
    if (this.#cancelable && !this.#state.passive) this.#state.canceled = true;
  }
  get type() {
    return this.#type;
  }
  get target() {
    return this.#state.target;
  }
  get srcElement() {
    return this.#state.target;
  }
  get currentTarget() {
    return this.#state.currentTarget;
  }
  composedPath() {
    const { currentTarget } = this.#state;
    return currentTarget === null ? [] : [currentTarget];
  }
  get eventPhase() {
    return this.#state.dispatching ? PHASES.AT_TARGET : PHASES.NONE;
  }
  stopPropagation() {
    this.#state.stopped = true;
  }
  get cancelBubble() {
    return this.#state.stopped;
  }
  set cancelBubble(value) {
    if (value) this.#state.stopped = true;
  }
  stopImmediatePropagation() {
    this.#state.stopped = true;
    this.#state.stoppedAtOnce = true;
  }
  get bubbles() {
    return this.#bubbles;
  }
  get cancelable() {
    return this.#cancelable;
  }
  get returnValue() {
    return !this.#state.canceled;
  }
  set returnValue(value) {
    if (!value) this.#cancel();
  }
  preventDefault() {
    this.#cancel();
  }
  get defaultPrevented() {
    return this.#state.canceled;
  }
  get composed() {
    return this.#composed;
  }
  get isTrusted() {
    return this.#state.trusted;
  }
  get timeStamp() {
    return this.#time;
  }
  initEvent(type, bubbles = false, cancelable = false) {
    requireArguments(arguments, 1, 'Event.initEvent');
    if (this.#state.dispatching) return;
    this.#type = domString(type);
    this.#bubbles = Boolean(bubbles);
    this.#cancelable = Boolean(cancelable);
    this.#state = unsent();
  }
}
defineInterface('Event', Event);
for (const [name, value] of Object.entries(PHASES)) {
  for (const owner of [Event, Event.prototype])
    Object.defineProperty(owner, name, { value, enumerable: true });
}

export class CustomEvent extends Event {
  #detail;
  constructor(type, init = {}) {
    super(type, init);
    this.#detail = init?.detail ?? null;
  }
  get detail() {
    return this.#detail;
  }
  initCustomEvent(type, bubbles = false, cancelable = false, detail = null) {
    requireArguments(arguments, 1, 'CustomEvent.initCustomEvent');
    if (stateOf(this).dispatching) return;
    this.initEvent(type, bubbles, cancelable);
    this.#detail = detail;
  }
}
defineInterface('CustomEvent', CustomEvent);

/** What a MessageEvent brings, from a dictionary. */
function message({
  data = null,
  origin = '',
  lastEventId = '',
  source = null,
  ports = [],
}) {
  return {
    data,
    origin: usvString(origin),
    lastEventId: domString(lastEventId),
    source,
    ports: Object.freeze([...ports]),
  };
}

export class MessageEvent extends Event {
  #message;
  constructor(type, init = {}) {
    super(type, init);
    this.#message = message(init ?? {});
  }
  get data() {
    return this.#message.data;
  }
  get origin() {
    return this.#message.origin;
  }
  get lastEventId() {
    return this.#message.lastEventId;
  }
  get source() {
    return this.#message.source;
  }
  get ports() {
    return this.#message.ports;
  }
  initMessageEvent(type, bubbles = false, cancelable = false, ...rest) {
    requireArguments(arguments, 1, 'MessageEvent.initMessageEvent');
    if (stateOf(this).dispatching) return;
    this.initEvent(type, bubbles, cancelable);
    const [data, origin, lastEventId, source, ports] = rest;
    this.#message = message({ data, origin, lastEventId, source, ports });
  }
}
defineInterface('MessageEvent', MessageEvent);
