// Shows any value as text, in the form that Node's util.inspect gives it. It never throws.
// Getters are named, not called, except for that of a class's `Symbol.toStringTag`.

import { inColumns, lay } from './inspect_layout.js';
import { key, showPrimitive } from './inspect_text.js';
import { viewOf } from './inspect_views.js';
import { native } from './native.js';

const MAX_DEPTH = 2;
const MAX_ITEMS = 100;

/** The value as text. Strings are quoted. `hidden` shows properties that are not enumerable. */
export function inspect(value, depth = MAX_DEPTH, hidden = false) {
  return shown(value, {
    depth: depth ?? Number.POSITIVE_INFINITY,
    showHidden: hidden,
    level: 0,
    indent: 0,
    path: [],
    circular: new Map(),
    // The level of the object that was shown last.
    last: { level: 0 },
  });
}

function shown(value, context) {
  try {
    return typeof value === 'object' || typeof value === 'function'
      ? showObject(value, context)
      : showPrimitive(value);
  } catch {
    // A proxy whose traps throw, or the end of the stack.
    return '[an object that cannot be shown]';
  }
}

/** A property's value without running its getter, or undefined. */
function dataProperty(object, name) {
  for (let at = object; at !== null; at = Object.getPrototypeOf(at)) {
    const property = Object.getOwnPropertyDescriptor(at, name);
    if (property) return 'value' in property ? property.value : undefined;
  }
  return undefined;
}

/** The name of the class that an object is of; null if it has no prototype. */
function className(object) {
  for (
    let at = Object.getPrototypeOf(object);
    at !== null;
    at = Object.getPrototypeOf(at)
  ) {
    const maker = Object.getOwnPropertyDescriptor(at, 'constructor')?.value;
    if (typeof maker !== 'function') continue;
    const name = Object.getOwnPropertyDescriptor(maker, 'name')?.value;
    if (typeof name === 'string' && name !== '') return name;
  }
  return null;
}

function showObject(object, context) {
  if (object === null) return 'null';
  // What is shown of a proxy is its target: no trap runs.
  const value = withoutProxies(object);
  if (value === null) return '<Revoked Proxy>';
  if (context.path.includes(value)) {
    const known = context.circular;
    if (!known.has(value)) known.set(value, known.size + 1);
    return `[Circular *${known.get(value)}]`;
  }
  const name = className(value);
  const plain = describe(value, name);
  const own = ownProperties(value, plain.hidden, context.showHidden);
  const empty = own.length === 0 && plain.items === undefined;
  if (plain.alone !== undefined && empty) return plain.alone;
  if (empty && plain.prefix !== undefined) {
    const shownPrefix = plain.prefix === '' ? '' : `${plain.prefix} `;
    return shownPrefix + (plain.brackets ? '[]' : '{}');
  }
  if (context.level > context.depth)
    return (
      plain.alone ?? `[${plain.short ?? name ?? 'Object: null prototype'}]`
    );
  const inner = {
    ...context,
    level: context.level + 1,
    indent: context.indent + 2,
    path: [...context.path, value],
  };
  const show = (item) => shown(item, inner);
  context.last.level = context.level;
  const entries = [
    ...(plain.items?.(show) ?? []),
    ...own.map((name) => showProperty(value, name, show)),
  ];
  const [open, close] = plain.brackets ? ['[', ']'] : ['{', '}'];
  const number = context.circular.get(value);
  const prefix =
    (number === undefined ? '' : `<ref *${number}> `) +
    (plain.alone === undefined
      ? plain.prefix === ''
        ? ''
        : `${plain.prefix} `
      : `${plain.alone} `);
  const lines = plain.brackets
    ? inColumns(entries, context.indent, plain.isNumeric)
    : entries;
  // As in Node, an object that holds three further levels takes lines of its own.
  const isShallow = lines === entries && context.last.level - context.level < 3;
  return prefix + lay(lines, open, close, context.indent, prefix, isShallow);
}

/** The object behind any proxies; null if one of them is revoked. */
function withoutProxies(object) {
  let value = object;
  for (;;) {
    const target = native.proxyTarget(value);
    if (target === undefined) return value;
    if (target === null) return null;
    value = target;
  }
}

function ownProperties(value, hidden, showHidden) {
  const names = Reflect.ownKeys(value).filter((name) => {
    if (hidden(name)) return false;
    if (showHidden && Array.isArray(value)) return true;
    return Object.getOwnPropertyDescriptor(value, name)?.enumerable === true;
  });
  return names.slice(0, MAX_ITEMS);
}

function showProperty(value, name, show) {
  const property = Object.getOwnPropertyDescriptor(value, name);
  const text =
    property === undefined
      ? 'undefined'
      : 'value' in property
        ? show(property.value)
        : accessor(property);
  const shownKey =
    property?.enumerable === false ? `[${String(name)}]` : key(name);
  return `${shownKey}: ${text}`;
}

function accessor({ get, set }) {
  if (get && set) return '[Getter/Setter]';
  return get ? '[Getter]' : '[Setter]';
}

const nothingHidden = () => false;
const isNumber = (item) => typeof item === 'number' || typeof item === 'bigint';
const isIndex = (name) => typeof name === 'string' && /^\d+$/.test(name);

/** What kind of object it is, and what is shown of it besides its properties. */
function describe(value, name) {
  const hidden = nothingHidden;
  if (typeof value === 'function')
    return { hidden, alone: describeFunction(value), prefix: '' };
  if (isError(value))
    return {
      hidden: (property) =>
        ['stack', 'message', 'cause', 'errors', 'name'].includes(property),
      ...describeError(value),
    };
  if (Array.isArray(value)) {
    const prefix = name === 'Array' ? '' : `${name}(${value.length})`;
    return {
      hidden: isIndex,
      prefix,
      short: 'Array',
      brackets: true,
      isNumeric: value.every(isNumber),
      items: value.length === 0 ? undefined : (show) => arrayItems(value, show),
    };
  }
  const special = describeBuiltIn(value, name);
  if (special) return { hidden, prefix: name ?? '', ...special };
  const tag = inheritedTag(value);
  const tagged = tag !== '' && tag !== name ? ` [${tag}]` : '';
  const prefix =
    name === null
      ? `[Object: null prototype]${tagged}`
      : name === 'Object' && tagged === ''
        ? ''
        : name + tagged;
  return { hidden, prefix };
}

/** What a class calls its objects beside its name. An own property that is shown says it itself. */
function inheritedTag(value) {
  const own = Object.getOwnPropertyDescriptor(value, Symbol.toStringTag);
  if (own)
    return !own.enumerable && typeof own.value === 'string' ? own.value : '';
  try {
    const tag = value[Symbol.toStringTag];
    return typeof tag === 'string' ? tag : '';
  } catch {
    return '';
  }
}

function describeFunction(value) {
  const text = Function.prototype.toString.call(value);
  const name = Object.getOwnPropertyDescriptor(value, 'name')?.value;
  const called = typeof name === 'string' && name !== '' ? name : '(anonymous)';
  if (/^class\b/.test(text)) {
    const parent = Object.getPrototypeOf(value);
    const of = typeof parent === 'function' ? parent.name : '';
    return `[class ${called}${of ? ` extends ${of}` : ''}]`;
  }
  const kind = className(value) ?? 'Function';
  return called === '(anonymous)'
    ? `[${kind} (anonymous)]`
    : `[${kind}: ${called}]`;
}

function arrayItems(value, show) {
  const items = [];
  const end = Math.min(value.length, MAX_ITEMS);
  for (let at = 0; at < end; at += 1) {
    const property = Object.getOwnPropertyDescriptor(value, at);
    if (property === undefined) {
      let missing = 1;
      while (at + missing < end && !(at + missing in value)) missing += 1;
      items.push(`<${missing} empty item${missing === 1 ? '' : 's'}>`);
      at += missing - 1;
    } else {
      items.push(
        'value' in property ? show(property.value) : accessor(property),
      );
    }
  }
  return [...items, ...more(value.length - end)];
}

function more(count) {
  return count > 0 ? [`... ${count} more item${count === 1 ? '' : 's'}`] : [];
}

function limited(values, size, show) {
  const items = [];
  for (const value of values) {
    if (items.length === MAX_ITEMS) break;
    items.push(show(value));
  }
  return [...items, ...more(size - items.length)];
}

/** Whether a method of the language's accepts the object, which nothing can pretend. */
function accepts(method, value, ...args) {
  try {
    method.call(value, ...args);
    return true;
  } catch {
    return false;
  }
}

const getter = (type, name) =>
  Object.getOwnPropertyDescriptor(type.prototype, name).get;
const MAP_SIZE = getter(Map, 'size');
const SET_SIZE = getter(Set, 'size');
const BUFFER_SIZE = getter(ArrayBuffer, 'byteLength');

const ARGUMENTS = /^\[object Arguments\]$/;

function describeBuiltIn(value, name) {
  for (const [type, method] of [
    ['Number', Number.prototype.valueOf],
    ['String', String.prototype.valueOf],
    ['Boolean', Boolean.prototype.valueOf],
    ['Symbol', Symbol.prototype.valueOf],
    ['BigInt', BigInt.prototype.valueOf],
  ]) {
    if (accepts(method, value))
      return {
        hidden: type === 'String' ? isIndex : nothingHidden,
        alone: `[${type}: ${showPrimitive(method.call(value))}]`,
      };
  }
  if (accepts(Date.prototype.getTime, value)) {
    const time = Date.prototype.getTime.call(value);
    return {
      alone: Number.isNaN(time)
        ? 'Invalid Date'
        : Date.prototype.toISOString.call(value),
    };
  }
  if (value instanceof RegExp)
    return { alone: RegExp.prototype.toString.call(value) };
  if (accepts(MAP_SIZE, value)) {
    const size = MAP_SIZE.call(value);
    return {
      prefix: name === 'Map' ? `Map(${size})` : `${name}(${size}) [Map]`,
      items: (show) =>
        limited(
          Map.prototype.entries.call(value),
          size,
          ([key, item]) => `${show(key)} => ${show(item)}`,
        ),
    };
  }
  if (accepts(SET_SIZE, value)) {
    const size = SET_SIZE.call(value);
    return {
      prefix: name === 'Set' ? `Set(${size})` : `${name}(${size}) [Set]`,
      items: (show) => limited(Set.prototype.values.call(value), size, show),
    };
  }
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
    return {
      hidden: isIndex,
      prefix: `${name}(${value.length})`,
      brackets: true,
      isNumeric: true,
      items: (show) => limited(value, value.length, show),
    };
  }
  if (value instanceof DataView) {
    return {
      items: (show) =>
        ['byteLength', 'byteOffset', 'buffer'].map(
          (field) => `${field}: ${show(value[field])}`,
        ),
    };
  }
  if (accepts(BUFFER_SIZE, value)) {
    const bytes = new Uint8Array(value);
    const text = [...bytes.subarray(0, MAX_ITEMS / 2)]
      .map((byte) => byte.toString(16).padStart(2, '0'))
      .join(' ');
    const rest = bytes.length - MAX_ITEMS / 2;
    return {
      items: () => [
        `[Uint8Contents]: <${text}${rest > 0 ? ` ... ${rest} more bytes` : ''}>`,
        `byteLength: ${bytes.length}`,
      ],
    };
  }
  if (value instanceof WeakMap || value instanceof WeakSet)
    return { items: () => ['<items unknown>'] };
  const state = native.promiseState(value);
  if (state !== undefined) {
    const [kind, result] = state;
    return {
      items: (show) => [
        kind === 'fulfilled'
          ? show(result)
          : kind === 'pending'
            ? '<pending>'
            : `<rejected> ${show(result)}`,
      ],
    };
  }
  if (
    ARGUMENTS.test(Object.prototype.toString.call(value)) &&
    name === 'Object'
  )
    return {
      prefix: '[Arguments]',
      hidden: isIndex,
      brackets: true,
      items: (show) => Array.from(value, show),
    };
  const view = viewOf(value);
  if (view !== undefined) {
    return {
      // The interfaces' own state lies in private fields and symbols.
      hidden: (property) =>
        typeof property === 'symbol' || String(property).startsWith('_'),
      items: (show) => {
        const entries = view(value, show);
        return typeof entries === 'function' ? entries(show) : entries;
      },
    };
  }
  return null;
}

/** Whether it is an error, also one of another realm's classes. */
export function isError(value) {
  if (typeof value !== 'object' || value === null) return false;
  return (
    value instanceof Error ||
    Object.prototype.toString.call(value) === '[object Error]'
  );
}

/** The engine's accessor, which errors inherit. It runs no code of the site's. */
const engineStack = Object.getOwnPropertyDescriptor(
  Error.prototype,
  'stack',
)?.get;

/** An error's name and message, and its stack as far as it does not repeat them. */
export function errorText(error) {
  const text = (name) => {
    const value = dataProperty(error, name);
    return value === undefined || value === null ? '' : plainText(value);
  };
  const name = text('name') || className(error) || 'Error';
  const message = text('message');
  const head = message === '' ? name : `${name}: ${message}`;
  const own = dataProperty(error, 'stack') ?? engineStack?.call(error);
  const stack = (own == null ? '' : plainText(own)).trimEnd();
  if (stack === '') return { head, stack: '' };
  return {
    head,
    stack: stack.startsWith(head)
      ? stack.slice(head.length).replace(/^\n/, '')
      : stack,
  };
}

/** A string as it is, and anything else as text. */
export function plainText(value) {
  return typeof value === 'string' ? value : inspect(value);
}

function describeError(error) {
  const { head, stack } = errorText(error);
  const items = [];
  for (const name of ['cause', 'errors']) {
    const property = Object.getOwnPropertyDescriptor(error, name);
    if (property && 'value' in property)
      items.push((show) => `[${name}]: ${show(property.value)}`);
  }
  return {
    alone:
      stack === ''
        ? items.length > 0
          ? head
          : `[${head}]`
        : `${head}\n${stack}`,
    prefix: '',
    items:
      items.length === 0
        ? undefined
        : (show) => items.map((item) => item(show)),
  };
}
