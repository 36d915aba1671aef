#!/usr/bin/env bash
# Measures containers around their requests: ours, the stock lifecycle, Node and
# nginx, in one run. Leaves the tables in bench/results/lifecycle.md.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/cargo-release.sh build
# peer DIRECTORY BINARY: builds a shim that is a workspace of its own.
peer() {
  [[ -x target/release/$2 ]] || echo "bench: compiling $1 (ten minutes, once)" >&2
  cargo build --quiet --release --manifest-path "bench/$1/Cargo.toml" --target-dir target/stock-runner
  ln -f "target/stock-runner/release/$2" target/release/
}
peer stock-runner containerd-shim-ssrstock-v1
peer stock-wasmtime containerd-shim-stockwasmtime-v1
cargo build --quiet --release --manifest-path bench/hello-component/Cargo.toml \
  --target wasm32-wasip2 --target-dir target/hello-component
# No init hands this to containerd; capturing backtraces would cost Rust's shims milliseconds.
unset RUST_BACKTRACE RUST_LIB_BACKTRACE
tables=$(target/release/bench-lifecycle --image target/image/site.tar --module target/image/ssr.wasm \
  --entry target/site/server/entry-server.js --assets target/site/client --server target/release/ssr \
  --hello target/hello-component/wasm32-wasip2/release/hello_component.wasm --nginx .cache/nginx/usr/sbin/nginx \
  / /how-it-works /guide /boards /boards/zero-w /memory)
processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
cat >bench/results/lifecycle.md <<TEXT
# The life of a container

Containers under $(containerd --version | awk '{ print "containerd " $3 }'), taking turns in one run: the demo site by our shim; a wasi:http component
that says hello by the stock runner, which is containerd-shim-wasm 1.0.1 with wasmtime 48, compiled once and kept in
containerd's content store as runwasi does it; our server under that lifecycle too, and as a static program in
runc; $(node --version | sed 's/^v/Node /') with the same site's bundle in runc; and $(.cache/nginx/usr/sbin/nginx -v 2>&1 | sed 's,^.*/,nginx ,'), two workers, with the site's pages as
files in runc. All are asked for the same pages.

"Start to first 200" begins with \`ctr run\`, "stop to gone" ends with the deleted task and container. In brackets
the ratio to ours, with code that the node has compiled before; before a start with an empty code cache, all of it is
removed. PSS counts each process's own pages and its share of those that it has in common with others: of all
processes that belong to a container, shims and their zygotes included. Fifteen seconds after the last page it is
taken again: our sites give memory back after ten.

Many containers, all of one image, are measured once, without a median. Each has answered two pages when memory is
taken; those that compile at every start are fewer, because so many would take minutes. In the end they are all removed and started anew, all at the same time and ours
with an empty code cache.

$tables

Measured on $(date -u +%F) with Linux $(uname -r), $(nproc) cores of ${processor:-an unknown processor}, on which
other work may have run. Again: \`make bench\`.
TEXT
cat bench/results/lifecycle.md
