#!/usr/bin/env bash
# Tests the engines that are linked into programs, as machine code of this machine: that what their
# memory makes them do is what wasmtime makes of the same, and nothing worse than a failed render.
set -euo pipefail
cd "$(dirname "$0")/.."

target=x86_64-unknown-linux-gnu
[[ $(uname -m) == x86_64 ]] || {
  echo "test-linked: SKIPPED: the engines are compiled for x86-64 here, and this is $(uname -m)" >&2
  exit 0
}
cargo build --quiet --workspace --bin ssr
SSR_LINKED_ENGINES=$(scripts/linked-engines.sh "target/$target/debug/ssr" "$target" test=wasm/src/linked/hostile.wat)
export SSR_LINKED_ENGINES
cargo test --workspace --lib linked -- --ignored
