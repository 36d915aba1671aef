// AbortSignal and MessageChannel, as the DOM and HTML standards have them.

export const cases = {
  'a signal': () => all(new AbortController().signal, 'aborted reason onabort'),
  abort: () => {
    const controller = new AbortController();
    controller.abort();
    const { signal } = controller;
    return [
      signal.aborted,
      signal.reason instanceof DOMException,
      all(signal.reason, 'name message code'),
      signal === controller.signal,
    ];
  },
  'abort with reasons': () =>
    [null, 0, 'x', { a: 1 }].map((reason) => {
      const controller = new AbortController();
      controller.abort(reason);
      return controller.signal.reason;
    }),
  'abort twice': () => {
    const controller = new AbortController();
    let count = 0;
    controller.signal.addEventListener('abort', () => count++);
    controller.abort(1);
    controller.abort(2);
    return [count, controller.signal.reason];
  },
  onabort: () => {
    const controller = new AbortController();
    const seen = [];
    controller.signal.onabort = () => seen.push('replaced');
    controller.signal.addEventListener('abort', () => seen.push('listener'));
    controller.signal.onabort = function (event) {
      seen.push(
        this === controller.signal,
        event.type,
        event.isTrusted,
        event.target === this,
      );
    };
    controller.abort();
    return seen;
  },
  throwIfAborted: () => AbortSignal.abort(new RangeError('x')).throwIfAborted(),
  'throwIfAborted before': () => new AbortController().signal.throwIfAborted(),
  'AbortSignal.abort': () => [
    AbortSignal.abort().reason.name,
    AbortSignal.abort('x').reason,
    AbortSignal.abort(undefined).reason.name,
    AbortSignal.abort().aborted,
  ],
  'AbortSignal.timeout': async () => {
    const signal = AbortSignal.timeout(5);
    const before = signal.aborted;
    await later(30);
    return [before, all(signal.reason, 'name code message'), signal.aborted];
  },
  'AbortSignal.timeout of nothing': () => AbortSignal.timeout(),
  'AbortSignal.any': () => {
    const [one, two] = [new AbortController(), new AbortController()];
    const any = AbortSignal.any([one.signal, two.signal]);
    const seen = [any.aborted];
    any.addEventListener('abort', () => seen.push('event'));
    two.abort('two');
    one.abort('one');
    return [...seen, any.reason];
  },
  'AbortSignal.any of one that has aborted': () =>
    AbortSignal.any([new AbortController().signal, AbortSignal.abort('x')])
      .reason,
  'AbortSignal.any of nothing': () => AbortSignal.any([]).aborted,
  'AbortSignal.any without a list': () => AbortSignal.any(),
  'AbortSignal.any of a signal': () => AbortSignal.any(AbortSignal.abort()),
  'AbortSignal.any of an object': () => AbortSignal.any([{}]),
  'a signal cannot be constructed': () => new AbortSignal(),
  'a signal cannot be assigned to': () => {
    const { signal } = new AbortController();
    signal.aborted = true;
  },
  'a controller cannot be assigned to': () => {
    const controller = new AbortController();
    controller.signal = null;
  },
  'signals and controllers are named': () =>
    [new AbortController(), new AbortController().signal].map((it) =>
      Object.prototype.toString.call(it),
    ),

  'messages arrive in order, later': async () => {
    const { port1, port2 } = new MessageChannel();
    const seen = [];
    port2.onmessage = (event) => seen.push(event.data, event.type);
    port1.postMessage(1);
    port1.postMessage({ a: 2 });
    seen.push('sent');
    await later(30);
    port1.close();
    return seen;
  },
  'messages wait until a port is started': async () => {
    const { port1, port2 } = new MessageChannel();
    const seen = [];
    port2.addEventListener('message', (event) => seen.push(event.data));
    port1.postMessage(1);
    await later(30);
    seen.push('nothing yet');
    port2.start();
    await later(30);
    port1.close();
    return seen;
  },
  'a closed port is silent': async () => {
    const { port1, port2 } = new MessageChannel();
    const seen = [];
    port2.onmessage = (event) => seen.push(event.data);
    port1.close();
    port1.postMessage(1);
    await later(30);
    return seen;
  },
  'a message without data': () => new MessageChannel().port1.postMessage(),
  'a port cannot be constructed': () => new MessagePort(),
  'ports are targets': () => {
    const { port1, port2 } = new MessageChannel();
    const seen = [port1 instanceof EventTarget, port1 instanceof MessagePort];
    port1.close();
    port2.close();
    return seen;
  },
};

export const beyondNode = {
  'a port hears that the other one is closed': [
    async () => {
      const { port1, port2 } = new MessageChannel();
      const seen = [];
      port2.onclose = (event) => seen.push(event.type);
      port1.close();
      await later(5);
      return seen;
    },
    { gave: ['close'] },
  ],
  'ports are named': [
    () => Object.prototype.toString.call(new MessageChannel().port1),
    { gave: '[object MessagePort]' },
  ],
  'onabort that is no function': [
    () => {
      const { signal } = new AbortController();
      signal.onabort = 5;
      const first = signal.onabort;
      signal.onabort = () => {};
      const second = typeof signal.onabort;
      signal.onabort = null;
      return [first, second, signal.onabort];
    },
    { gave: [null, 'function', null] },
  ],
  'AbortSignal.any of a Set': [
    () => AbortSignal.any(new Set([AbortSignal.abort('x')])).reason,
    { gave: 'x' },
  ],
  'AbortSignal.any of signals of signals': [
    () => {
      const controller = new AbortController();
      const one = AbortSignal.any([controller.signal]);
      const two = AbortSignal.any([one]);
      const seen = [];
      controller.signal.addEventListener('abort', () => seen.push(two.aborted));
      one.addEventListener('abort', () => seen.push('one'));
      two.addEventListener('abort', () => seen.push('two'));
      controller.abort();
      return seen;
    },
    { gave: [true, 'one', 'two'] },
  ],
  'AbortSignal.timeout of what is no time': [
    () =>
      [-1, Number.NaN, 'x', Number.POSITIVE_INFINITY].map((time) => {
        try {
          return AbortSignal.timeout(time);
        } catch (error) {
          return error.name;
        }
      }),
    { gave: ['TypeError', 'TypeError', 'TypeError', 'TypeError'] },
  ],
};
