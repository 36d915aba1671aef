// Forms as multipart/form-data (RFC 7578, and
// https://html.spec.whatwg.org/#multipart-form-data).

import { TextDecoder } from '../encoding/encoding.js';
import { joinBytes } from '../fetch/byte_streams.js';
import { native } from '../native.js';
import { bytesOfBlob, File } from './blob.js';
import { FormData } from './form_data.js';

const CRLF = '\r\n';
const lineEnds = (text) => text.replace(/\r\n|\r|\n/g, CRLF);

/** A name within quotes. */
const quoted = (name) =>
  name.replaceAll('\n', '%0A').replaceAll('\r', '%0D').replaceAll('"', '%22');
const unquoted = (name) =>
  name.replace(/%0A/gi, '\n').replace(/%0D/gi, '\r').replaceAll('%22', '"');

/** A form as the body of a request or response: `raw` and `type`. */
export function writeMultipart(form) {
  const random = [...native.randomBytes(12)]
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join('');
  const boundary = `----formdata-ssr-${random}`;
  const chunks = [];
  for (const [name, value] of form) {
    const head = `--${boundary}${CRLF}Content-Disposition: form-data; name="${quoted(lineEnds(name))}"`;
    if (typeof value === 'string') {
      chunks.push(native.encode(head + CRLF + CRLF + lineEnds(value) + CRLF));
    } else {
      const type = value.type || 'application/octet-stream';
      chunks.push(
        native.encode(
          `${head}; filename="${quoted(value.name)}"${CRLF}Content-Type: ${type}${CRLF}${CRLF}`,
        ),
        bytesOfBlob(value),
        native.encode(CRLF),
      );
    }
  }
  chunks.push(native.encode(`--${boundary}--${CRLF}`));
  return {
    raw: joinBytes(chunks),
    type: `multipart/form-data; boundary=${boundary}`,
  };
}

function fail(reason) {
  throw new TypeError(`formData: the body is no form: ${reason}`);
}

/** The name, file name and type that the headers of a part give. */
function parseHead(head) {
  let disposition = null;
  let type = null;
  for (const line of head.split(CRLF)) {
    const [, name, value] = /^([^:]*):[\t ]*(.*?)[\t ]*$/s.exec(line) ?? [];
    if (name === undefined) fail(`'${line}' is not a header`);
    if (/^content-disposition$/i.test(name)) disposition = value;
    else if (/^content-type$/i.test(name)) type = value;
  }
  if (disposition === null || !/^form-data(;|$)/i.test(disposition))
    fail('a part has no Content-Disposition: form-data');
  const parameter = (name) =>
    new RegExp(`;[\\t ]*${name}="([^"]*)"`, 'i').exec(disposition)?.[1];
  const [name, filename] = [parameter('name'), parameter('filename')];
  if (name === undefined) fail('a part has no name');
  return {
    name: unquoted(name),
    filename: filename === undefined ? undefined : unquoted(filename),
    type,
  };
}

/** The form in `bytes`, whose parts `boundary` separates. */
export function parseMultipart(bytes, boundary) {
  if (boundary === undefined) fail('its Content-Type has no boundary');
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  const text = (from, to) => decoder.decode(bytes.subarray(from, to));
  const find = (part, from) => native.find(bytes, native.encode(part), from);
  const form = new FormData();
  const first = `--${boundary}`;
  let at = find(first, 0);
  if (at < 0) fail('its boundary is not there');
  at += first.length;
  while (text(at, at + 2) !== '--') {
    if (text(at, at + 2) !== CRLF)
      fail('a boundary is not at the end of its line');
    const headEnd = find(CRLF + CRLF, at);
    if (headEnd < 0) fail('it ends within the headers of a part');
    const { name, filename, type } = parseHead(text(at + 2, headEnd));
    const from = headEnd + 4;
    // An empty part has its boundary right after the line that ends its headers.
    const to = find(CRLF + first, from - 2);
    if (to < 0) fail('it ends within a part');
    const value = bytes.subarray(from, Math.max(from, to));
    if (filename === undefined) form.append(name, decoder.decode(value));
    else
      form.append(
        name,
        new File([value], filename, { type: type ?? 'text/plain' }),
      );
    at = to + CRLF.length + first.length;
  }
  return form;
}
