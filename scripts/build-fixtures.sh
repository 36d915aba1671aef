#!/usr/bin/env bash
# Compiles the WebAssembly programs that the end-to-end tests run, into target/fixtures:
#
#   scripts/build-fixtures.sh
#
# The tests run in systems that have no compiler.
set -euo pipefail
cd "$(dirname "$0")/.."

out=target/fixtures
mkdir -p "$out"
for target in wasm32-wasip1 wasm32-wasip2; do
  for name in program cgi; do
    program=$out/$name.$target.wasm
    if [[ ! $program -nt tests/fixtures/$name.rs ]]; then
      rustc --edition 2024 --target "$target" -O "tests/fixtures/$name.rs" -o "$program"
    fi
  done
done
# Flags for this machine's programs are not for these.
unset RUSTFLAGS
cargo build --quiet --locked --release --target wasm32-wasip2 --target-dir "$out" \
  --manifest-path tests/fixtures/handler/Cargo.toml --config 'build.target="wasm32-wasip2"'
ln -f "$out/wasm32-wasip2/release/handler.wasm" "$out/handler.wasm"
