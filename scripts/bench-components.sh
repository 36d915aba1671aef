#!/usr/bin/env bash
# Measures a wasi:http component under our shim, under stock runwasi and under wasmtime's own
# server, in one run. Writes the table to bench/results/components.md.
set -euo pipefail
cd "$(dirname "$0")/.."

# The version of the workspace's lock file.
version=$(sed -n '/^name = "wasmtime"$/{n;s/version = "\(.*\)"/\1/p}' Cargo.lock)
cargo build --release --workspace --bin bench-lifecycle
built=target/$(rustc --print host-tuple)/release
here=$PWD
# Without this workspace's flags.
(cd / && cargo build --quiet --release --manifest-path "$here/bench/stock-wasmtime/Cargo.toml" \
  --target-dir "$here/target/stock-runner")
ln -f target/stock-runner/release/containerd-shim-stockwasmtime-v1 target/release/
if [[ ! -x target/wasmtime-cli/bin/wasmtime ]]; then
  echo "bench: compiling wasmtime $version (ten minutes, once)" >&2
  (cd / && cargo install --quiet wasmtime-cli --version "$version" --locked --no-default-features \
    --features serve,run,cranelift,component-model,component-model-async,pooling-allocator,parallel-compilation \
    --root "$here/target/wasmtime-cli" --target-dir "$here/target/stock-runner")
fi
hello=$(scripts/hello-component.sh)
unset RUST_BACKTRACE RUST_LIB_BACKTRACE
table=$("$built/bench-lifecycle" components --wasmtime target/wasmtime-cli/bin/wasmtime \
  --hello "$hello")
processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
cat >bench/results/components.md <<TEXT
# Components that answer requests

A wasi:http component that says hello, as a container under $(containerd --version | awk '{ print "containerd " $3 }'), taking turns in one run:

- ours: under our shim, compiled before and kept in the node's code cache
- stock runwasi: under containerd-shim-wasm 1.0.1 with wasmtime $version, compiled before and kept by containerd
- wasmtime serve, runc: wasmtime $version's own server as a Linux program, which compiles at every start

Each connection sends the next request when it has the answer to the last, for three seconds; clients and servers share the
machine's cores. p99 is the time of the slowest hundredth of requests. The ratios in parentheses are to ours. PSS
(proportional set size) is that of all processes of the container, its shim's included, right after the requests.

$table

Measured on $(date -u +%F) with Linux $(uname -r), $(nproc) cores of ${processor:-an unknown processor},
possibly with other work on the machine. To repeat: \`make bench\`.
TEXT
cat bench/results/components.md
