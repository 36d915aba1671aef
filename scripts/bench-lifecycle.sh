#!/usr/bin/env bash
# Measures the lifecycle of containers: ours, the stock lifecycle, Node and nginx, in
# one run. Writes the tables to bench/results/lifecycle.md.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release --workspace --bin bench-lifecycle
built=target/$(rustc --print host-tuple)/release
# peer DIRECTORY BINARY: builds a shim that is a separate workspace, without this
# workspace's flags.
peer() {
  [[ -x target/release/$2 ]] || echo "bench: compiling $1 (ten minutes, once)" >&2
  # From elsewhere, so that this project's cargo configuration does not apply.
  (cd / && cargo build --quiet --release --manifest-path "$OLDPWD/bench/$1/Cargo.toml" \
    --target-dir "$OLDPWD/target/stock-runner")
  ln -f "target/stock-runner/release/$2" target/release/
}
peer stock-runner containerd-shim-ssrstock-v1
peer stock-wasmtime containerd-shim-stockwasmtime-v1
hello=$(scripts/hello-component.sh)
# Service managers do not set these for containerd. With them, the shims in Rust would
# spend milliseconds on backtraces.
unset RUST_BACKTRACE RUST_LIB_BACKTRACE
tables=$("$built/bench-lifecycle" --image target/image/site.tar --module target/image/ssr.wasm \
  --entry target/site/server/entry-server.js --template target/site/template.html --assets target/site/client \
  --server target/release/ssr \
  --hello "$hello" --nginx .cache/nginx/usr/sbin/nginx \
  / /how-it-works /guide /boards /boards/zero-w /memory)
processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
cat >bench/results/lifecycle.md <<TEXT
# Container lifecycle

Containers under $(containerd --version | awk '{ print "containerd " $3 }'), taking turns in one run. All get requests for the same pages:

- ours: the demo site under our shim
- stock runwasi, hello component: a wasi:http component that says hello, under containerd-shim-wasm 1.0.1 with
  wasmtime 48; compiled once and kept in containerd's content store, as runwasi does
- our server, stock lifecycle: our server under the same containerd-shim-wasm
- our server, runc: our server as a static program
- Node, runc: $(node --version | sed 's/^v/Node /') with the same site's server bundle
- nginx, prerendered pages, runc: $(.cache/nginx/usr/sbin/nginx -v 2>&1 | sed 's,^.*/,nginx ,'), two workers, with the site's pages as files

"Start to first 200" begins with \`ctr run\`; "stop to removed" ends when the task and the container are deleted. The
ratios in parentheses are to ours on a node that has run the site before. The code cache is emptied before each start of a
site that the node has never seen. PSS (proportional set size) is a process's own pages plus its share of the pages that it has
in common with others, summed over all processes that belong to a container, including shims and their zygotes. It is
measured again 15 s after the last page: our sites release memory after ten seconds of idling.

Many containers of one image are measured once, without a median. When memory is measured, each has answered two
requests for pages. There are fewer of those that compile at every start, because more would take minutes. At the end
all are removed and started again at the same time, ours with an empty code cache.

Many different sites are the demo site under other names and with more text, each built and packed by itself, under our
shim. Their images are imported before the clock starts. It stops when each has answered with 200; that all pages are
the site's own is checked afterwards. The code cache's size counts what is written, not the holes in its files.

$tables

Measured on $(date -u +%F) with Linux $(uname -r), $(nproc) cores of ${processor:-an unknown processor},
possibly with other work on the machine. To repeat: \`make bench\`.
TEXT
cat bench/results/lifecycle.md
