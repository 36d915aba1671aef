#!/usr/bin/env bash
# Makes cli/function-order.ld anew, the linker script by which functions that a container needs after
# its start are together in the program. Do so when much has changed, a Rust version or a dependency:
# functions that it does not name cost up to 64 KiB of memory each, and nothing else.
#
#   scripts/order-functions.sh        on x86-64, as root, after `make build image`
set -euo pipefail
cd "$(dirname "$0")/.."
built=target/$(rustc --print host-tuple)
order=cli/function-order.ld

# With symbols, until the end.
cargo rustc --release --package ssr-cli --bin ssr -- -C strip=none
scripts/attach-engines.sh "$built/release/ssr" "$built/release/ssr" target/release
cargo build --package ssr-bench --bin function-order
env -u RUST_BACKTRACE "$built/debug/function-order" >"$order.new"
mv "$order.new" "$order"
make build
