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
for package in handler preview3; do
  cargo build --quiet --locked --release --target wasm32-wasip2 --target-dir "$out" --lib --examples \
    --manifest-path "tests/fixtures/$package/Cargo.toml" --config 'build.target="wasm32-wasip2"'
done
built=$out/wasm32-wasip2/release
ln -f "$built/handler.wasm" "$out/handler.wasm"
ln -f "$built/preview3.wasm" "$out/handler.preview3.wasm"
ln -f "$built/examples/command3.wasm" "$out/program.preview3.wasm"
