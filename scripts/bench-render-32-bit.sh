#!/usr/bin/env bash
# Measures rendering as 32-bit machines do it, on this one as 32-bit x86: the engine translated to C
# against wasmtime's bytecode, native QuickJS, and the interpreter that such machines had before.
# Writes the table to bench/results/render-32-bit.md.
set -euo pipefail
cd "$(dirname "$0")/.."

[[ $(uname -m) == x86_64 ]] || {
  echo "bench: only x86-64 runs programs for 32-bit x86, and this is $(uname -m)" >&2
  exit 1
}
target=i686-unknown-linux-musl
wazero=$(scripts/wazero-render.sh)
zig=$(scripts/zig-path.sh)
SSR_LINKED_ENGINES=$(scripts/linked-engines.sh target/release/ssr "$target")
export SSR_LINKED_ENGINES
# The crate that QuickJS is in has no bindings for this target. They do not depend on the C library:
# those for x86-64 with musl and with glibc are the same.
crate=$(scripts/crate-source.sh rquickjs-sys "$target")
quickjs=$PWD/target/rquickjs-sys
rm -rf "$quickjs"
cp -r "$crate" "$quickjs"
cp "$quickjs/src/bindings/i686-unknown-linux-gnu.rs" "$quickjs/src/bindings/$target.rs"
echo "bench: compiling bench-render for 32-bit x86 (several minutes)" >&2
RUSTFLAGS="-C relocation-model=static" PATH=$PWD/.cache/zig/bin:$PATH CARGO_ZIGBUILD_ZIG_PATH=$zig \
  cargo zigbuild --quiet --release --target "$target" --target-dir target/dist-build --package ssr-bench --bin bench-render \
  --config "paths=['$quickjs']"
table=$("target/dist-build/$target/release/bench-render" --rounds 5 --renders 20 --peer "wazero, interpreting=$wazero" \
  --wasm target/image/ssr.wasm --engine target/engine/engine.wasm --entry target/site/server/entry-server.js --template target/site/template.html \
  / /how-it-works /guide /boards /boards/zero-w /memory /request /no/such/page)
processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
cat >bench/results/render-32-bit.md <<TEXT
# Rendering a page on a 32-bit machine

Processor time per render in microseconds: the median of 5 rounds of 20 renders, taking turns in one run. All but Node are
programs for 32-bit x86, which this processor runs as it runs others. In parentheses is the ratio to native QuickJS of the
same width, which uses one heap for all requests and has no isolation. Ours is the engine translated to C (wasm2c) and
compiled with the release, with a fresh memory for each request and a time limit. wasmtime's bytecode (Pulley) is what
other modules run on there. wazero interprets the same module, with a fresh instance for each request: one render a round.

$table

Measured on $(date -u +%F) with $(node --version | sed 's/^v/Node /'), Linux $(uname -r), $(nproc) cores of ${processor:-an unknown processor}.
To repeat: \`make bench\`.
TEXT
cat bench/results/render-32-bit.md
