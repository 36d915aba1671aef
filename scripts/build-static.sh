#!/usr/bin/env bash
# Builds static binaries, at a fixed address as .cargo/config.toml has it for this machine, and
# prints the directory that they are in:
#
#   scripts/build-static.sh amd64|arm64|armv6|i686 PACKAGE...
#
# Those for 32-bit machines have the engines linked in; i686 is for tests of that. A directory of
# its own, so that other builds need not wait for this one.
set -euo pipefail
cd "$(dirname "$0")/.."
arch=$1
shift

say() { echo "build: $*" >&2; }
case $arch in
  amd64) target=x86_64-unknown-linux-musl ;;
  arm64) target=aarch64-unknown-linux-musl ;;
  # One binary for every 32-bit Raspberry Pi.
  armv6) target=arm-unknown-linux-musleabihf ;;
  i686) target=i686-unknown-linux-musl ;;
  *)
    say "unknown architecture $arch: amd64, arm64, armv6 or i686"
    exit 1
    ;;
esac
zig=$(scripts/zig-path.sh)
build_dir=target/dist-build
args=() flags="-C relocation-model=static"
export SSR_LINKED_ENGINES=""
if [[ $arch == armv6 || $arch == i686 ]]; then
  SSR_LINKED_ENGINES=$(scripts/linked-engines.sh target/release/ssr "$target")
fi
if [[ $arch == armv6 ]]; then
  mapfile -t args < <(scripts/patched-crates.sh)
  # rustup has no standard library for it, which the stable compiler builds only if it is told so;
  # and then zig brings what programs start with.
  args+=("-Zbuild-std=std,panic_abort")
  flags+=" -C link-self-contained=no --cfg patched_fibers"
  export RUSTC_BOOTSTRAP=1
fi
if [[ " $* " == *" containerd-shim-ssr "* ]]; then
  LIBSECCOMP_LIB_PATH=$(scripts/libseccomp.sh "${target%%-*}")
  export LIBSECCOMP_LINK_TYPE=static LIBSECCOMP_LIB_PATH
fi
say "compiling for $arch (several minutes)"
RUSTFLAGS=$flags PATH=$PWD/.cache/zig/bin:$PATH CARGO_ZIGBUILD_ZIG_PATH=$zig \
  cargo zigbuild --quiet --release --target "$target" --target-dir "$build_dir" "${@/#/--package=}" "${args[@]}"
echo "$PWD/$build_dir/$target/release"
