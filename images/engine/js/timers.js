// setTimeout and related functions. The engine has no event loop: when no promise
// jobs are left, it calls `runTimers` and lets the host sleep until the next timer
// is due.

/** Creates the timer functions. `now()` returns the time in milliseconds. */
export function makeTimers(now) {
  const pending = new Map();
  let lastId = 0;

  const start = (callback, delay, args, every) => {
    if (typeof callback !== 'function') {
      throw new TypeError('setTimeout: the callback must be a function');
    }
    const wait = Math.max(Number(delay) || 0, 0);
    lastId += 1;
    pending.set(lastId, {
      callback,
      args,
      due: now() + wait,
      every: every ? Math.max(wait, 1) : null,
    });
    return lastId;
  };
  const stop = (id) => {
    pending.delete(id);
  };

  return {
    globals: {
      setTimeout: (callback, delay, ...args) =>
        start(callback, delay, args, false),
      setInterval: (callback, delay, ...args) =>
        start(callback, delay, args, true),
      setImmediate: (callback, ...args) => start(callback, 0, args, false),
      clearTimeout: stop,
      clearInterval: stop,
      clearImmediate: stop,
    },
    /**
     * Runs one timer that is due and returns 0. If none is due, returns the
     * milliseconds until the next one; if there are no timers, -1.
     */
    runTimers() {
      let first = null;
      let firstId = 0;
      for (const [id, timer] of pending) {
        if (first === null || timer.due < first.due) {
          first = timer;
          firstId = id;
        }
      }
      if (first === null) return -1;
      const wait = first.due - now();
      if (wait > 0) return wait;
      if (first.every === null) {
        pending.delete(firstId);
      } else {
        first.due = now() + first.every;
      }
      first.callback(...first.args);
      return 0;
    },
    /** Removes all timers and returns how many there were. */
    clear() {
      const count = pending.size;
      pending.clear();
      return count;
    },
  };
}
