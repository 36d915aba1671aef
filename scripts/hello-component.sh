#!/usr/bin/env bash
# Builds the component that says hello, and prints its path.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --quiet --release --manifest-path bench/hello-component/Cargo.toml --target wasm32-wasip2 \
  --target-dir target/hello-component
echo "$PWD/target/hello-component/wasm32-wasip2/release/hello_component.wasm"
