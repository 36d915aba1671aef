// Event and EventTarget, as the DOM standard has them.

/** How a target calls listeners that note their names. */
function calls(use) {
  const seen = [];
  const target = new EventTarget();
  const note = (name) => () => {
    seen.push(name);
  };
  const result = use(target, note, seen);
  return [seen, result];
}

export const cases = {
  'the members of an event': () =>
    all(
      new Event('x'),
      'type target srcElement currentTarget eventPhase bubbles cancelable defaultPrevented composed isTrusted returnValue cancelBubble',
    ),
  'the options of an event': () =>
    all(
      new Event('x', { bubbles: 1, cancelable: true, composed: 'a' }),
      'bubbles cancelable composed',
    ),
  'the constants of Event': () => all(Event, 'NONE AT_TARGET BUBBLING_PHASE'),
  'an event without a type': () => new Event(),
  'an event of undefined': () => new Event(undefined).type,
  'an event of a symbol': () => new Event(Symbol('x')),
  'null as options of an event': () => new Event('x', null).type,
  'a number as options of an event': () => new Event('x', 1),
  'an event has a time': () => typeof new Event('x').timeStamp,
  'events are named': () => Object.prototype.toString.call(new Event('x')),
  'an event cannot be assigned to': () => {
    const event = new Event('x');
    event.type = 'y';
  },
  'only what is cancelable is cancelled': () =>
    [true, false].map((cancelable) => {
      const event = new Event('x', { cancelable });
      event.preventDefault();
      return [event.defaultPrevented, event.returnValue];
    }),
  'composedPath outside of a dispatch': () => new Event('x').composedPath(),
  'a custom event': () => [
    new CustomEvent('x', { detail: 5 }).detail,
    new CustomEvent('x').detail,
    new CustomEvent('x', { cancelable: true }).cancelable,
    new CustomEvent('x') instanceof Event,
    Object.prototype.toString.call(new CustomEvent('x')),
  ],
  'a message event': () =>
    all(
      new MessageEvent('x', { data: 1, origin: 'o', lastEventId: 2 }),
      'type data origin lastEventId source',
    ),
  'a message event by default': () =>
    all(new MessageEvent('x'), 'data origin lastEventId source'),

  'listeners are called in order': () =>
    calls((target, note) => {
      target.addEventListener('x', note(1));
      target.addEventListener('x', { handleEvent: note(2) });
      target.addEventListener('y', note(3));
      return target.dispatchEvent(new Event('x'));
    }),
  'a listener is added once': () =>
    calls((target, note) => {
      const listener = note(1);
      target.addEventListener('x', listener);
      target.addEventListener('x', listener, false);
      target.addEventListener('x', listener, { once: true });
      target.addEventListener('x', listener, true);
      target.dispatchEvent(new Event('x'));
    }),
  once: () =>
    calls((target, note) => {
      target.addEventListener('x', note(1), { once: true });
      target.addEventListener('x', note(2), { once: false });
      target.dispatchEvent(new Event('x'));
      target.dispatchEvent(new Event('x'));
    }),
  'once is over when it is called': () =>
    calls((target, _note, seen) => {
      target.addEventListener(
        'x',
        () => {
          seen.push(1);
          if (seen.length < 5) target.dispatchEvent(new Event('x'));
        },
        { once: true },
      );
      target.dispatchEvent(new Event('x'));
    }),
  'a listener can cancel': () => {
    const target = new EventTarget();
    const event = new Event('x', { cancelable: true });
    target.addEventListener('x', (event) => event.preventDefault());
    return [target.dispatchEvent(event), event.defaultPrevented];
  },
  'a signal removes its listener': () =>
    calls((target, note) => {
      const controller = new AbortController();
      target.addEventListener('x', note(1), { signal: controller.signal });
      target.dispatchEvent(new Event('x'));
      controller.abort();
      target.dispatchEvent(new Event('x'));
    }),
  'a signal that has aborted adds nothing': () =>
    calls((target, note) => {
      target.addEventListener('x', note(1), { signal: AbortSignal.abort() });
      target.dispatchEvent(new Event('x'));
    }),
  'a signal during the dispatch': () =>
    calls((target, note) => {
      const controller = new AbortController();
      target.addEventListener('x', () => controller.abort());
      target.addEventListener('x', note(2), { signal: controller.signal });
      target.dispatchEvent(new Event('x'));
    }),
  'null as signal of a listener': () =>
    new EventTarget().addEventListener('x', () => {}, { signal: null }),
  'an object as signal of a listener': () =>
    new EventTarget().addEventListener('x', () => {}, { signal: {} }),
  'undefined as signal of a listener': () =>
    calls((target, note) => {
      target.addEventListener('x', note(1), { signal: undefined });
      target.dispatchEvent(new Event('x'));
    }),
  'null as listener': () =>
    new EventTarget().addEventListener('x', null) === undefined,
  'null as options of a listener': () =>
    calls((target, note) => {
      target.addEventListener('x', note(1), null);
      target.dispatchEvent(new Event('x'));
    }),
  'a text as listener': () => new EventTarget().addEventListener('x', 'y'),
  'a listener too few': () => new EventTarget().addEventListener('x'),
  'a listener to remove too few': () =>
    new EventTarget().removeEventListener('x'),
  'types are texts': () =>
    calls((target, note) => {
      target.addEventListener(null, note(1));
      target.addEventListener(1, note(2));
      target.dispatchEvent(new Event('null'));
      target.dispatchEvent(new Event('1'));
    }),
  'listeners that are added in a dispatch wait': () =>
    calls((target, note) => {
      target.addEventListener('x', () =>
        target.addEventListener('x', note(2), { once: true }),
      );
      target.dispatchEvent(new Event('x'));
    }),
  'listeners that are removed in a dispatch are left out': () =>
    calls((target, note) => {
      const two = note(2);
      target.addEventListener('x', () => target.removeEventListener('x', two));
      target.addEventListener('x', two);
      target.dispatchEvent(new Event('x'));
    }),
  stopImmediatePropagation: () =>
    calls((target, note) => {
      target.addEventListener('x', (event) => event.stopImmediatePropagation());
      target.addEventListener('x', note(2));
      const event = new Event('x');
      target.dispatchEvent(event);
      target.dispatchEvent(event);
    }),
  stopPropagation: () =>
    calls((target, note) => {
      target.addEventListener('x', (event) => event.stopPropagation());
      target.addEventListener('x', note(2));
      target.dispatchEvent(new Event('x'));
    }),
  'what an event says while it is dispatched': () => {
    const target = new EventTarget();
    let seen;
    const event = new Event('x');
    target.addEventListener('x', (event) => {
      seen = [
        event.target === target,
        event.currentTarget === target,
        event.srcElement === target,
        event.eventPhase,
        event.composedPath().length,
        event.isTrusted,
      ];
    });
    target.dispatchEvent(event);
    return [
      seen,
      event.target === target,
      event.currentTarget,
      event.eventPhase,
      event.composedPath(),
    ];
  },
  'this of listeners': () => {
    const target = new EventTarget();
    const seen = [];
    const object = {
      handleEvent() {
        seen.push(this === object);
      },
    };
    target.addEventListener('x', function () {
      seen.push(this === target);
    });
    target.addEventListener('x', object);
    target.dispatchEvent(new Event('x'));
    return seen;
  },
  'handleEvent is looked up late': () =>
    calls((target, note) => {
      const object = {};
      target.addEventListener('x', object);
      object.handleEvent = note(1);
      target.dispatchEvent(new Event('x'));
    }),
  'an event can be dispatched again': () =>
    calls((target, note) => {
      const event = new Event('x');
      target.addEventListener('x', note(1));
      target.dispatchEvent(event);
      target.dispatchEvent(event);
    }),
  'no event to dispatch': () => new EventTarget().dispatchEvent(),
  'an object to dispatch': () => new EventTarget().dispatchEvent({ type: 'x' }),
  'a target of its own kind': () => {
    class Emitter extends EventTarget {}
    const emitter = new Emitter();
    let seen;
    emitter.onx = () => {
      seen = 'the attribute is nothing special';
    };
    emitter.addEventListener('x', ({ target }) => {
      seen = target === emitter;
    });
    emitter.dispatchEvent(new Event('x'));
    return seen;
  },
  'targets are named': () => Object.prototype.toString.call(new EventTarget()),
};

export const beyondNode = {
  'events can be initialized again': [
    () => {
      const event = new CustomEvent('x', { cancelable: true });
      event.preventDefault();
      event.initCustomEvent('y', true, false, 5);
      const message = new MessageEvent('x');
      message.initMessageEvent('z', false, true, 1, '\ud800', 2);
      return [
        all(event, 'type bubbles cancelable detail defaultPrevented'),
        all(message, 'type cancelable data origin lastEventId source'),
      ];
    },
    {
      gave: [
        ['y', true, false, 5, false],
        ['z', true, 1, '\ufffd', '2', null],
      ],
    },
  ],
  'the constants of an event': [
    () => all(new Event('x'), 'NONE CAPTURING_PHASE AT_TARGET BUBBLING_PHASE'),
    { gave: [0, 1, 2, 3] },
  ],
  'returnValue and cancelBubble': [
    () => {
      const event = new Event('x', { cancelable: true });
      event.returnValue = true;
      event.cancelBubble = false;
      const before = all(event, 'defaultPrevented cancelBubble');
      event.returnValue = false;
      event.cancelBubble = true;
      return [before, all(event, 'defaultPrevented cancelBubble')];
    },
    {
      gave: [
        [false, false],
        [true, true],
      ],
    },
  ],
  'a listener is removed with its capture': [
    () =>
      calls((target, note) => {
        const [one, two, three] = [note(1), note(2), note(3)];
        target.addEventListener('x', one);
        target.addEventListener('x', two, true);
        target.addEventListener('x', three, { capture: true });
        target.removeEventListener('x', one, { capture: true });
        target.removeEventListener('x', two);
        target.removeEventListener('x', three, { capture: true, once: true });
        target.dispatchEvent(new Event('x'));
      }),
    { gave: [[2, 1], undefined] },
  ],
  'a passive listener cannot cancel': [
    () => {
      const target = new EventTarget();
      const event = new Event('x', { cancelable: true });
      target.addEventListener('x', (event) => event.preventDefault(), {
        passive: true,
      });
      return [target.dispatchEvent(event), event.defaultPrevented];
    },
    { gave: [true, false] },
  ],
  'an event that is dispatched already': [
    () => {
      const target = new EventTarget();
      let seen;
      target.addEventListener('x', (event) => {
        try {
          target.dispatchEvent(event);
        } catch (error) {
          seen = [error.name, error.code];
        }
      });
      target.dispatchEvent(new Event('x'));
      return seen[0];
    },
    { gave: 'InvalidStateError' },
  ],
  'a listener that throws ends neither the dispatch nor the page': [
    () =>
      calls((target, note) => {
        target.addEventListener('x', () => {
          throw new Error('on purpose');
        });
        target.addEventListener('x', note(2));
        return target.dispatchEvent(new Event('x'));
      }),
    { gave: [[2], true] },
  ],
  'captures are called first': [
    () =>
      calls((target, note) => {
        target.addEventListener('x', note(1));
        target.addEventListener('x', note(2), { capture: true });
        target.dispatchEvent(new Event('x'));
      }),
    { gave: [[2, 1], undefined] },
  ],
};
