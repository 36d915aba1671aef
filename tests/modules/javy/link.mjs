// Compiles a script to a module that is dynamically linked to a plugin of Javy, as
// `javy build -C dynamic` does:
//
//   node link.mjs PLUGIN.wasm SCRIPT.js OUT.wasm
import { readFileSync, writeFileSync } from 'node:fs';

const [pluginFile, script, out] = process.argv.slice(2);
const plugin = new WebAssembly.Module(readFileSync(pluginFile));
const namespace = Buffer.from(
  WebAssembly.Module.customSections(plugin, 'import_namespace')[0],
);
const code = compile(readFileSync(script));

/** The script's bytecode, which the plugin itself makes. */
function compile(source) {
  const imports = {};
  for (const { module, name } of WebAssembly.Module.imports(plugin)) {
    imports[module] ??= {};
    imports[module][name] = () => 0;
  }
  const {
    memory,
    cabi_realloc,
    'compile-src': compileSource,
  } = new WebAssembly.Instance(plugin, imports).exports;
  const at = cabi_realloc(0, 0, 1, source.length);
  new Uint8Array(memory.buffer).set(source, at);
  const [failed, start, length] = new Uint32Array(
    memory.buffer,
    compileSource(at, source.length),
    3,
  );
  const result = Buffer.from(new Uint8Array(memory.buffer, start, length));
  if (failed) throw new Error(result.toString());
  return result;
}

// The encodings of WebAssembly's binary format.
function unsigned(number) {
  const bytes = [];
  do {
    bytes.push((number & 127) | (number > 127 ? 128 : 0));
    number >>>= 7;
  } while (number);
  return bytes;
}
function signed(number) {
  const bytes = [];
  for (;;) {
    const byte = number & 127;
    number >>= 7;
    if (number === 0 && !(byte & 64)) return [...bytes, byte];
    bytes.push(byte | 128);
  }
}
const sized = (bytes) => [...unsigned(bytes.length), ...bytes];
const name = (text) => sized(Buffer.from(text));
const list = (items) => [...unsigned(items.length), ...items.flat()];
const section = (id, body) => [id, ...sized(body)];

const I32 = 0x7f;
const FUNCTION = 0x60;
const constant = (number) => [0x41, ...signed(number)];
const [CALL, GET, TEE, END] = [0x10, 0x20, 0x22, 0x0b];
const INIT_MEMORY = [0xfc, 8, 0, 0];

// invoke(cabi_realloc(0, 0, 1, length) with the bytecode there, length, no function to call)
const start = [
  ...[1, 1, I32],
  ...constant(0),
  ...constant(0),
  ...constant(1),
  ...constant(code.length),
  CALL,
  0,
  TEE,
  0,
  ...constant(0),
  ...constant(code.length),
  ...INIT_MEMORY,
  ...[GET, 0],
  ...constant(code.length),
  ...constant(0),
  ...constant(0),
  ...constant(0),
  CALL,
  1,
  END,
];
writeFileSync(
  out,
  Buffer.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(
      1,
      list([
        [FUNCTION, 4, I32, I32, I32, I32, 1, I32],
        [FUNCTION, 5, I32, I32, I32, I32, I32, 0],
        [FUNCTION, 0, 0],
      ]),
    ),
    ...section(
      2,
      list([
        [...sized(namespace), ...name('cabi_realloc'), 0, 0],
        [...sized(namespace), ...name('invoke'), 0, 1],
        [...sized(namespace), ...name('memory'), 2, 0, 0],
      ]),
    ),
    ...section(3, list([[2]])),
    ...section(7, list([[...name('_start'), 0, 2]])),
    ...section(12, [1]),
    ...section(10, list([sized(start)])),
    ...section(11, list([[1, ...sized(code)]])),
  ]),
);
