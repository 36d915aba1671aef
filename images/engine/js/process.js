// Node's `process`, as far as libraries look at it. It says that this is no Node
// (`process.versions.node` is missing), so that they take a way that works here.

/** The version whose language and web APIs the engine is nearest to. */
const VERSION = 'v20.0.0';

/** Creates the global `process`. `now()` returns the time in milliseconds. */
export function makeProcess(now, console) {
  const process = {
    title: 'ssr',
    pid: 1,
    ppid: 0,
    arch: 'wasm32',
    platform: 'linux',
    version: VERSION,
    versions: {},
    release: { name: 'ssr' },
    features: {},
    config: { target_defaults: {}, variables: {} },
    argv: ['ssr'],
    argv0: 'ssr',
    execArgv: [],
    execPath: '/ssr',
    exitCode: undefined,
    // Frameworks check this while they load and then use their production code.
    env: { NODE_ENV: 'production' },
    stdout: output((text) => console.log(text)),
    stderr: output((text) => console.error(text)),
    cwd: () => '/',
    uptime: () => now() / 1000,
    hrtime: Object.assign(hrtime, {
      bigint: () => BigInt(Math.round(now() * 1e6)),
    }),
    memoryUsage: Object.assign(
      () => ({
        rss: 0,
        heapTotal: 0,
        heapUsed: 0,
        external: 0,
        arrayBuffers: 0,
      }),
      { rss: () => 0 },
    ),
    nextTick: (callback, ...args) => {
      if (typeof callback !== 'function')
        throw new TypeError(
          'process.nextTick: the callback must be a function',
        );
      queueMicrotask(() => callback(...args));
    },
    emitWarning: (warning) => console.warn(warning),
    exit: refuse('exit'),
    abort: refuse('abort'),
    kill: refuse('kill'),
    chdir: refuse('chdir'),
  };
  function hrtime(since) {
    const nanoseconds = Math.round(now() * 1e6);
    const [seconds, rest] = [Math.floor(nanoseconds / 1e9), nanoseconds % 1e9];
    if (since === undefined) return [seconds, rest];
    const difference = nanoseconds - (since[0] * 1e9 + since[1]);
    return [Math.floor(difference / 1e9), difference % 1e9];
  }
  // An event of the process never comes: nobody is told of signals or of its end.
  for (const name of [
    'on',
    'once',
    'off',
    'addListener',
    'removeListener',
    'removeAllListeners',
    'prependListener',
    'prependOnceListener',
    'setMaxListeners',
  ]) {
    process[name] = () => process;
  }
  process.emit = () => false;
  process.listeners = () => [];
  process.listenerCount = () => 0;
  process.eventNames = () => [];
  return process;
}

function output(write) {
  return {
    isTTY: false,
    writable: true,
    write: (text) => {
      write(String(text).replace(/\n$/, ''));
      return true;
    },
    end: () => {},
    on() {
      return this;
    },
    once() {
      return this;
    },
  };
}

function refuse(name) {
  return () => {
    throw new Error(
      `process.${name}() is not available: a page cannot end or change the server`,
    );
  };
}
