// MIME types (https://mimesniff.spec.whatwg.org/#parsing-a-mime-type).

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const SPACES = /^[\t\n\r ]+|[\t\n\r ]+$/g;

/** What a quoted string at the start of `text` says, and its length there. */
function unquote(text) {
  let value = '';
  let at = 1;
  while (at < text.length && text[at] !== '"') {
    if (text[at] === '\\' && at + 1 < text.length) at += 1;
    value += text[at];
    at += 1;
  }
  return { value, length: at + 1 };
}

/** The parameters in `text`, each with a semicolon before it. The first of a name counts. */
function parseParameters(text) {
  const parameters = new Map();
  let rest = text;
  while (rest !== '') {
    rest = rest.slice(1).replace(/^[\t\n\r ]+/, '');
    const name = /^[^;=]*/.exec(rest)[0];
    rest = rest.slice(name.length);
    if (rest[0] !== '=') continue;
    rest = rest.slice(1);
    let value;
    if (rest[0] === '"') {
      const quoted = unquote(rest);
      value = quoted.value;
      rest = rest.slice(quoted.length).replace(/^[^;]*/, '');
    } else {
      const plain = /^[^;]*/.exec(rest)[0];
      rest = rest.slice(plain.length);
      value = plain.replace(/[\t\n\r ]+$/, '');
      if (value === '') continue;
    }
    const key = name.toLowerCase();
    if (TOKEN.test(key) && !/[^\t\x20-\x7e\x80-\xff]/.test(value)) {
      if (!parameters.has(key)) parameters.set(key, value);
    }
  }
  return parameters;
}

/**
 * The MIME type that `text` is: its `essence` (`text/html`), its `parameters` and its
 * normal form as `text`. Null if it is none.
 */
export function parseMimeType(text) {
  const [whole, type, subtype] =
    /^([^/;]*)\/([^;]*)/.exec(text.replace(SPACES, '')) ?? [];
  if (whole === undefined) return null;
  const essence = `${type}/${subtype.replace(SPACES, '')}`.toLowerCase();
  if (!essence.split('/').every((part) => TOKEN.test(part))) return null;
  const parameters = parseParameters(
    text.replace(SPACES, '').slice(whole.length),
  );
  const written = [...parameters].map(([name, value]) =>
    TOKEN.test(value)
      ? `;${name}=${value}`
      : `;${name}="${value.replace(/["\\]/g, '\\$&')}"`,
  );
  return { essence, parameters, text: essence + written.join('') };
}
