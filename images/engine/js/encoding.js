// TextEncoder and TextDecoder for UTF-8, on top of the engine's conversions.

function asBytes(input) {
  if (input instanceof Uint8Array) return input;
  if (ArrayBuffer.isView(input))
    return new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
  return new Uint8Array(input);
}

/** How many bytes at the end of `bytes` belong to an incomplete character. */
function unfinished(bytes) {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back];
    if ((byte & 0xc0) === 0x80) continue;
    const needs = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return needs > back ? back : 0;
  }
  return 0;
}

export function makeEncoding({ encode, decode }) {
  class TextEncoder {
    get encoding() {
      return 'utf-8';
    }
    encode(text = '') {
      return encode(String(text));
    }
    encodeInto(text, target) {
      let read = 0;
      let written = 0;
      for (const character of String(text)) {
        const bytes = encode(character);
        if (written + bytes.length > target.length) break;
        target.set(bytes, written);
        written += bytes.length;
        read += character.length;
      }
      return { read, written };
    }
  }

  class TextDecoder {
    #fatal;
    #ignoreBom;
    #rest = new Uint8Array(0);
    #started = false;
    constructor(label = 'utf-8', { fatal = false, ignoreBOM = false } = {}) {
      if (
        !['utf-8', 'utf8', 'unicode-1-1-utf-8'].includes(
          String(label).trim().toLowerCase(),
        )
      ) {
        throw new RangeError(
          `TextDecoder: unsupported encoding '${label}'; only utf-8 is supported`,
        );
      }
      this.#fatal = Boolean(fatal);
      this.#ignoreBom = Boolean(ignoreBOM);
    }
    get encoding() {
      return 'utf-8';
    }
    get fatal() {
      return this.#fatal;
    }
    get ignoreBOM() {
      return this.#ignoreBom;
    }
    decode(input = new Uint8Array(0), { stream = false } = {}) {
      let bytes = asBytes(input);
      if (this.#rest.length > 0) {
        const joined = new Uint8Array(this.#rest.length + bytes.length);
        joined.set(this.#rest);
        joined.set(bytes, this.#rest.length);
        bytes = joined;
        this.#rest = new Uint8Array(0);
      }
      if (stream) {
        const keep = unfinished(bytes);
        if (keep > 0) {
          this.#rest = bytes.slice(bytes.length - keep);
          bytes = bytes.subarray(0, bytes.length - keep);
        }
      }
      let text = decode(bytes, this.#fatal);
      if (!this.#ignoreBom && !this.#started && text.startsWith('\ufeff'))
        text = text.slice(1);
      this.#started = stream && (this.#started || text.length > 0);
      return text;
    }
  }
  return { TextEncoder, TextDecoder };
}
