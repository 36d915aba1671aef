// The web APIs of the engine: everything that a site's server code can use beyond
// ECMAScript itself. `native` holds the engine's functions (src/native.rs).

import { makeConsole } from './console.js';
import { makeEnv } from './env.js';
import * as interfaces from './interfaces.js';
import { useNative } from './native.js';
import { makePerformance } from './performance.js';
import { makeProcess } from './process.js';
import { makeSite } from './site.js';
import { describeThrown } from './thrown.js';
import { makeTimers } from './timers.js';

/**
 * Defines the web APIs on the global object. Returns the functions that the
 * engine calls: `runTimers`, `clearTimers`, `describeThrown(error)` and
 * `makeSite(namespace, template)`.
 */
export function install(native) {
  const define = (globals) => {
    for (const [name, value] of Object.entries(globals)) {
      Object.defineProperty(globalThis, name, {
        value,
        writable: true,
        configurable: true,
        enumerable: false,
      });
    }
  };

  useNative(native);
  const timers = makeTimers(native.now);
  const console = makeConsole(native.log);
  define({
    self: globalThis,
    global: globalThis,
    performance: makePerformance(native),
    console,
    ...timers.globals,
    ...interfaces,
    queueMicrotask: (callback) => {
      if (typeof callback !== 'function')
        throw new TypeError('queueMicrotask: the callback must be a function');
      Promise.resolve().then(callback);
    },
    crypto: {
      getRandomValues: (array) => {
        const bytes = new Uint8Array(
          array.buffer,
          array.byteOffset,
          array.byteLength,
        );
        bytes.set(native.randomBytes(bytes.length));
        return array;
      },
      randomUUID: () => {
        const bytes = native.randomBytes(16);
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        const hex = [...bytes]
          .map((byte) => byte.toString(16).padStart(2, '0'))
          .join('');
        return hex.replace(
          /^(.{8})(.{4})(.{4})(.{4})(.{12})$/,
          '$1-$2-$3-$4-$5',
        );
      },
    },
    navigator: {
      userAgent: 'containerd-shim-ssr',
      hardwareConcurrency: 1,
      language: 'en',
    },
    process: makeProcess(native.now, console),
  });
  Math.random = native.random;

  return {
    runTimers: timers.runTimers,
    clearTimers: timers.clear,
    describeThrown,
    makeSite: (namespace, template) => {
      const answer = makeSite(native, namespace, template);
      return (method, url, path, flatHeaders, body, envText) => {
        const env = makeEnv(envText);
        process.env = env;
        return answer(method, url, path, flatHeaders, body, env);
      };
    },
  };
}
