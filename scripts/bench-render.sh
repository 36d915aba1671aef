#!/usr/bin/env bash
# Measures rendering: the site's pages in our module, in native QuickJS and in Node, in
# one run. Writes the table to bench/results/render.md.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release --workspace --bin bench-render
built=target/$(rustc --print host-tuple)/release
table=$("$built/bench-render" \
  --wasm target/image/ssr.wasm --engine target/engine/engine.wasm --entry target/site/server/entry-server.js --template target/site/template.html \
  / /how-it-works /guide /boards /boards/zero-w /memory /request /no/such/page)
processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
cat >bench/results/render.md <<TEXT
# Rendering a page

Processor time per render in microseconds: the median of 15 rounds of 100 renders, taking turns in one run. In
parentheses is the ratio to native QuickJS, which uses one heap for all requests and has no isolation. Ours uses a fresh
WebAssembly instance for each request, and a time limit that stops endless loops with a signal; its machine code is the
engine's, compiled with the release. "Compiled for this processor" is the same site compiled as a whole where it runs.
"By epochs" is that with the check at every loop that wasmtime offers to end loops; "no time limit" has nothing that
stops a loop.

$table

Measured on $(date -u +%F) with $(node --version | sed 's/^v/Node /'), Linux $(uname -r), $(nproc) cores of ${processor:-an unknown processor}.
To repeat: \`make bench\`.
TEXT
cat bench/results/render.md
