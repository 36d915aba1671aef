#!/usr/bin/env bash
# Measures containers around their requests: ours, the stock lifecycle, and runc,
# in one run. Leaves the tables in bench/results/lifecycle.md.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/cargo-release.sh build
echo "bench: compiling the stock runner (ten minutes, once)" >&2
cargo build --quiet --release --manifest-path bench/stock-runner/Cargo.toml --target-dir target/stock-runner
ln -f target/stock-runner/release/containerd-shim-ssrstock-v1 target/release/
tables=$(target/release/bench-lifecycle --image target/image/site.tar \
  --module target/image/ssr.wasm --assets target/site/client --server target/release/ssr)
processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
cat >bench/results/lifecycle.md <<TEXT
# The life of a container

One demo site under $(containerd --version | awk '{ print "containerd " $3 }'): by our shim; by the same server under the lifecycle of
containerd-shim-wasm 1.0.1; and by the same server as a static Linux program under runc. The contestants take
turns. "Start to first byte" begins with \`ctr run\` and contains the compilation of the module, about a second of it,
which is the same for all three. "Stop to gone" ends with the deleted task.

$tables

PSS counts each process's own pages and its share of those that it has in common with others. In brackets the ratio
to ours.

Measured on $(date -u +%F) with Linux $(uname -r), $(nproc) cores of ${processor:-an unknown processor}.
Again: \`make bench\`.
TEXT
cat bench/results/lifecycle.md
