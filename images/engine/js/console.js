// console.*: each call sends its text to the host, which prefixes it with the
// request's id and writes it to the container's standard error.

import { table } from './console_table.js';
import { inspect, plainText } from './inspect.js';

/** Formats arguments like `console.log`, including `%s %d %i %f %j %o %O %c`. */
export function format(args) {
  let rest = args;
  let text = '';
  if (typeof args[0] === 'string' && args.length > 1 && args[0].includes('%')) {
    let next = 1;
    text = args[0].replace(/%[sdifjoOc%]/g, (token) => {
      if (token === '%%') return '%';
      if (next >= args.length) return token;
      const arg = args[next++];
      switch (token) {
        case '%s':
          return typeof arg === 'object' ? inspect(arg, 0) : plainText(arg);
        case '%d':
          return number(arg, Number);
        case '%i':
          return number(arg, (value) => Number.parseInt(value, 10));
        case '%f':
          return number(arg, Number.parseFloat);
        case '%j':
          return json(arg);
        case '%c':
          return '';
        case '%o':
          return inspect(arg, 4, true);
        default:
          return inspect(arg);
      }
    });
    rest = args.slice(next);
    if (rest.length > 0) text += ' ';
  }
  return text + rest.map(plainText).join(' ');
}

/** A value as console.dir shows it. */
function shownWith(value, options) {
  try {
    return inspect(value, options?.depth, options?.showHidden === true);
  } catch {
    // Options with a getter that throws.
    return inspect(value);
  }
}

function number(value, convert) {
  if (typeof value === 'bigint') return `${value}n`;
  // Conversions of objects and symbols would run code, or throw.
  if (typeof value === 'object' || typeof value === 'symbol') return 'NaN';
  return inspect(convert(value));
}

function json(value) {
  try {
    return String(JSON.stringify(value));
  } catch {
    return '[Circular]';
  }
}

// The log levels of the render ABI.
const ERROR = 0;
const WARN = 1;
const INFO = 2;
const DEBUG = 3;

/** Creates the global `console`. `log(level, text)` is the host's function. */
export function makeConsole(log) {
  const counts = new Map();
  const timers = new Map();
  let indent = '';
  const write = (level, args) =>
    log(level, indent + format(args).replaceAll('\n', `\n${indent}`));
  const elapsed = (label) =>
    `${label}: ${(performance.now() - timers.get(label)).toFixed(3)} ms`;
  return {
    log: (...args) => write(INFO, args),
    info: (...args) => write(INFO, args),
    debug: (...args) => write(DEBUG, args),
    warn: (...args) => write(WARN, args),
    error: (...args) => write(ERROR, args),
    dir: (value, options) => write(INFO, [shownWith(value, options)]),
    dirxml: (...args) => write(INFO, args),
    table: (value, columns) => write(INFO, [table(value, columns) ?? value]),
    trace: (...args) =>
      write(DEBUG, [`Trace: ${format(args)}\n${new Error().stack}`]),
    assert: (condition, ...args) => {
      if (condition) return;
      const [first, ...rest] = args;
      write(
        ERROR,
        typeof first === 'string'
          ? [`Assertion failed: ${first}`, ...rest]
          : ['Assertion failed', ...args],
      );
    },
    count: (name = 'default') => {
      const label = plainText(name);
      counts.set(label, (counts.get(label) ?? 0) + 1);
      write(INFO, [`${label}: ${counts.get(label)}`]);
    },
    clear: () => {},
    timeStamp: () => {},
    profile: () => {},
    profileEnd: () => {},
    countReset: (label = 'default') => {
      counts.delete(plainText(label));
    },
    group: (...args) => {
      if (args.length > 0) write(INFO, args);
      indent += '  ';
    },
    groupCollapsed: (...args) => {
      if (args.length > 0) write(INFO, args);
      indent += '  ';
    },
    groupEnd: () => {
      indent = indent.slice(2);
    },
    time: (label = 'default') => {
      timers.set(plainText(label), performance.now());
    },
    timeLog: (name = 'default', ...args) => {
      const label = plainText(name);
      if (timers.has(label)) write(INFO, [elapsed(label), ...args]);
    },
    timeEnd: (name = 'default') => {
      const label = plainText(name);
      if (timers.has(label)) write(INFO, [elapsed(label)]);
      timers.delete(label);
    },
  };
}
