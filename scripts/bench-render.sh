#!/usr/bin/env bash
# Measures rendering: the site's pages in our module, in QuickJS without
# WebAssembly, and in Node, in one run. Leaves the table in bench/results/render.md.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/cargo-release.sh build
table=$(target/release/bench-render \
  --wasm target/image/ssr.wasm --entry target/site/server/entry-server.js --template target/site/client/index.html \
  / /how-it-works /guide /boards /boards/zero-w /memory /request /no/such/page)
processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
cat >bench/results/render.md <<TEXT
# Rendering a page

Processor time of one render in microseconds, median of 15 rounds of 100 renders, all taking turns in one run.
In brackets the ratio to native QuickJS, which has one heap for all requests and no isolation; ours has a fresh
WebAssembly instance for each, and a time limit that ends endless loops by a signal. "By epochs" is the same with
the check at every loop that wasmtime offers for that, and "no time limit" with nothing that would end a loop.

$table

Measured on $(date -u +%F) with $(node --version | sed 's/^v/Node /'), Linux $(uname -r), $(nproc) cores of ${processor:-an unknown processor}.
Again: \`make bench\`.
TEXT
cat bench/results/render.md
