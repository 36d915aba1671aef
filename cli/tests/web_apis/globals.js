// DOMException, atob, btoa and queueMicrotask.

export const cases = {
  'an exception': () =>
    all(new DOMException('m', 'AbortError'), 'name message code'),
  'an exception by default': () => all(new DOMException(), 'name message code'),
  'an exception of another name': () =>
    all(new DOMException('m', 'X'), 'name code'),
  'an exception is an error': () => {
    const e = new DOMException('m', 'N');
    return [
      e instanceof Error,
      Object.prototype.toString.call(e),
      `${e}`,
      typeof e.stack,
      Object.keys(e),
    ];
  },
  'exceptions enumerate': () => Object.keys(DOMException.prototype).sort(),
  codes: () =>
    [
      'IndexSizeError',
      'HierarchyRequestError',
      'InvalidStateError',
      'SyntaxError',
      'TimeoutError',
      'DataCloneError',
      'QuotaExceededError',
      'EncodingError',
      'NotAllowedError',
    ].map((n) => new DOMException('', n).code),
  'undefined message': () => new DOMException(undefined, undefined).name,
  'number message': () => new DOMException(5, 6).name,
  atob: () =>
    ['YQ==', 'YQ', ' Y Q = = ', '', 'YWI=', '/+8='].map((t) => atob(t)),
  ...Object.fromEntries(
    ['Y', 'YQ=', 'Y===', 'YQ===', 'ä', 'a-_b', '=', 'YQ==YQ=='].map((t) => [
      `atob ${t}`,
      () => atob(t),
    ]),
  ),
  'atob null': () => [atob(null)],
  'atob undefined': () => atob(undefined),
  btoa: () => ['', 'a', 'ab', 'abc', 'ä', '\0\xff'].map((t) => btoa(t)),
  'btoa wide': () => btoa('€'),
  'btoa null': () => [btoa(null), btoa(undefined), btoa(1)],
  'atob error': () => {
    try {
      atob('Y');
    } catch (e) {
      return [e.name, e.code, e instanceof DOMException];
    }
  },
  'btoa error': () => {
    try {
      btoa('€');
    } catch (e) {
      return [e.name, e.code, e instanceof DOMException];
    }
  },
  microtask: () => queueMicrotask(5),
};
export const beyondNode = {};
