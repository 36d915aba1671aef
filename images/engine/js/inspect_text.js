// Strings, numbers and names as Node's util.inspect writes them.

const MAX_TEXT = 10_000;

/** A value that is no object. Strings are quoted. */
export function showPrimitive(value) {
  if (typeof value === 'string') return quote(value);
  if (typeof value === 'bigint') return `${value}n`;
  return Object.is(value, -0) ? '-0' : String(value);
}

function quote(text) {
  const cut =
    text.length > MAX_TEXT
      ? `${text.slice(0, MAX_TEXT)}… ${text.length - MAX_TEXT} more characters`
      : text;
  const mark =
    ["'", '"', '`'].find(
      (mark) => !cut.includes(mark) && !(mark === '`' && cut.includes('${')),
    ) ?? "'";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must be shown.
  const special = /[\\\u0000-\u001f\u007f-\u009f]/g;
  const names = {
    '\n': '\\n',
    '\t': '\\t',
    '\r': '\\r',
    '\b': '\\b',
    '\f': '\\f',
    '\v': '\\v',
    '\\': '\\\\',
  };
  const escaped = cut.replace(
    special,
    (character) =>
      names[character] ??
      `\\x${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  );
  return mark + escaped.replaceAll(mark, `\\${mark}`) + mark;
}

/** A property's name. */
export function key(name) {
  if (typeof name === 'symbol') return `[${String(name)}]`;
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : quote(name);
}
