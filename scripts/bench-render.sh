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
WebAssembly instance for each. "No time limit" is the same without epoch interruption: what is between is the
price of stopping endless loops.

$table

Measured on $(date -u +%F) with $(node --version | sed 's/^v/Node /'), Linux $(uname -r), $(nproc) cores of ${processor:-an unknown processor}.
Again: \`make bench\`.
TEXT
cat bench/results/render.md
