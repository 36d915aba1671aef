// `performance`: the clock, and marks that nobody collects.

/** Creates the global; `native` has the clocks. */
export function makePerformance(native) {
  const entry = (name, entryType, startTime, duration, detail = null) => ({
    name: String(name),
    entryType,
    startTime,
    duration,
    detail,
    toJSON() {
      const { name, entryType, startTime, duration, detail } = this;
      return { name, entryType, startTime, duration, detail };
    },
  });
  const marks = new Map();
  const at = (mark, otherwise) => {
    if (typeof mark === 'number') return mark;
    return marks.get(String(mark)) ?? otherwise;
  };
  const performance = {
    now: native.now,
    mark: (name, options) => {
      const startTime = options?.startTime ?? native.now();
      marks.set(String(name), startTime);
      return entry(name, 'mark', startTime, 0, options?.detail ?? null);
    },
    measure: (name, from, to) => {
      const options = typeof from === 'object' && from !== null ? from : null;
      const start = at(options ? options.start : from, 0);
      const end = at(options ? options.end : to, native.now());
      return entry(
        name,
        'measure',
        start,
        end - start,
        options?.detail ?? null,
      );
    },
    clearMarks: (name) => {
      if (name === undefined) marks.clear();
      else marks.delete(String(name));
    },
    clearMeasures: () => {},
    clearResourceTimings: () => {},
    setResourceTimingBufferSize: () => {},
    getEntries: () => [],
    getEntriesByName: () => [],
    getEntriesByType: () => [],
    addEventListener: () => {},
    removeEventListener: () => {},
    toJSON: () => ({ timeOrigin: native.timeOrigin() }),
  };
  // The clock starts with the request, not with the build.
  Object.defineProperty(performance, 'timeOrigin', {
    get: native.timeOrigin,
    enumerable: true,
  });
  return performance;
}
