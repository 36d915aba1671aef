// console.*: each call sends its text to the host, which prefixes it with the
// request's id and writes it to the container's standard error.

const MAX_DEPTH = 4;
const MAX_ITEMS = 100;

function quote(text) {
  return `'${text.replace(/[\\']/g, '\\$&').replace(/\n/g, '\\n')}'`;
}

function list(open, close, items) {
  if (items.length === 0) return open + close;
  const oneLine = `${open} ${items.join(', ')} ${close}`;
  if (oneLine.length <= 72 && !oneLine.includes('\n')) return oneLine;
  return `${open}\n  ${items.map((item) => item.replaceAll('\n', '\n  ')).join(',\n  ')}\n${close}`;
}

function describeObject(value, depth, seen) {
  const inner = (item) => inspect(item, depth + 1, seen);
  if (Array.isArray(value)) {
    const items = value.slice(0, MAX_ITEMS).map(inner);
    if (value.length > MAX_ITEMS)
      items.push(`… ${value.length - MAX_ITEMS} more`);
    return list('[', ']', items);
  }
  if (value instanceof Map) {
    return `Map(${value.size}) ${list(
      '{',
      '}',
      [...value]
        .slice(0, MAX_ITEMS)
        .map(([key, item]) => `${inner(key)} => ${inner(item)}`),
    )}`;
  }
  if (value instanceof Set) {
    return `Set(${value.size}) ${list('{', '}', [...value].slice(0, MAX_ITEMS).map(inner))}`;
  }
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
    return `${value.constructor.name}(${value.length}) ${list('[', ']', [...value.slice(0, MAX_ITEMS)].map(String))}`;
  }
  const keys = Object.keys(value);
  const shown = keys.slice(0, MAX_ITEMS).map((key) => {
    const name = /^[A-Za-z_$][\w$]*$/.test(key) ? key : quote(key);
    return `${name}: ${inner(value[key])}`;
  });
  if (keys.length > MAX_ITEMS) shown.push(`… ${keys.length - MAX_ITEMS} more`);
  const name = Object.getPrototypeOf(value)?.constructor?.name;
  const prefix = name && name !== 'Object' ? `${name} ` : '';
  return prefix + list('{', '}', shown);
}

/** Formats an error like V8: name and message, stack, chain of causes. */
export function describeError(error) {
  let text = `${error.name}: ${error.message}`;
  if (error.stack) text += `\n${String(error.stack).trimEnd()}`;
  if (error.cause !== undefined)
    text += `\n  cause: ${inspect(error.cause, 1, new Set())}`;
  return text;
}

function inspect(value, depth, seen) {
  switch (typeof value) {
    case 'string':
      return depth === 0 ? value : quote(value);
    case 'bigint':
      return `${value}n`;
    case 'symbol':
      return value.toString();
    case 'function':
      return value.name ? `[Function: ${value.name}]` : '[Function]';
    case 'object':
      break;
    default:
      return String(value);
  }
  if (value === null) return 'null';
  if (value instanceof Error) return describeError(value);
  if (value instanceof Date)
    return Number.isNaN(+value) ? 'Invalid Date' : value.toISOString();
  if (value instanceof RegExp) return String(value);
  if (seen.has(value)) return '[Circular]';
  if (depth > MAX_DEPTH) return Array.isArray(value) ? '[Array]' : '[Object]';
  seen.add(value);
  const text = describeObject(value, depth, seen);
  seen.delete(value);
  return text;
}

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
          return typeof arg === 'object'
            ? inspect(arg, 1, new Set())
            : String(arg);
        case '%d':
          return String(Number(arg));
        case '%i':
          return String(Number.parseInt(arg, 10));
        case '%f':
          return String(Number.parseFloat(arg));
        case '%j':
          return JSON.stringify(arg);
        case '%c':
          return '';
        default:
          return inspect(arg, 1, new Set());
      }
    });
    rest = args.slice(next);
    if (rest.length > 0) text += ' ';
  }
  return text + rest.map((arg) => inspect(arg, 0, new Set())).join(' ');
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
    dir: (value) => write(INFO, [value]),
    table: (value) => write(INFO, [value]),
    trace: (...args) =>
      write(DEBUG, [`Trace: ${format(args)}\n${new Error().stack}`]),
    assert: (condition, ...args) => {
      if (!condition) write(ERROR, ['Assertion failed', ...args]);
    },
    count: (label = 'default') => {
      counts.set(label, (counts.get(label) ?? 0) + 1);
      write(INFO, [`${label}: ${counts.get(label)}`]);
    },
    countReset: (label = 'default') => counts.delete(label),
    group: (...args) => {
      if (args.length > 0) write(INFO, args);
      indent += '  ';
    },
    groupEnd: () => {
      indent = indent.slice(2);
    },
    time: (label = 'default') => timers.set(label, performance.now()),
    timeLog: (label = 'default', ...args) => {
      if (timers.has(label)) write(INFO, [elapsed(label), ...args]);
    },
    timeEnd: (label = 'default') => {
      if (timers.has(label)) write(INFO, [elapsed(label)]);
      timers.delete(label);
    },
  };
}
