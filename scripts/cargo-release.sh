#!/usr/bin/env bash
# cargo, for the whole workspace in its release profile:
#
#   scripts/cargo-release.sh build|test|clippy [ARGUMENT...]
#
# Binaries are linked statically, because the shim executes itself inside
# containers that hold no libraries. `build` leaves them in target/release.
set -euo pipefail
cd "$(dirname "$0")/.."
command=$1
shift
machine=$(uname -m)
# Named, so that build scripts and macros, which cannot be static, are left out.
target=$(rustc --version --verbose | sed -n 's/^host: //p')
# At a fixed address: moved, each process would have a megabyte of its own, the
# tables of addresses (a fifth of what a container needs).
export RUSTFLAGS="-C target-feature=+crt-static -C relocation-model=static"
export LIBSECCOMP_LINK_TYPE=static LIBSECCOMP_LIB_PATH=/usr/lib/$machine-linux-gnu
cargo "$command" --release --workspace --target "$target" "$@"
if [[ $command == build ]]; then
  for binary in ssr containerd-shim-ssr-v1 bench-lifecycle bench-render; do
    ln -f "target/$target/release/$binary" "target/release/$binary"
  done
fi
