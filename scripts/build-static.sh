#!/usr/bin/env bash
# Builds the program, static, at a fixed address as .cargo/config.toml has it for this machine, and
# prints its path:
#
#   scripts/build-static.sh amd64|arm64|armv7|armv6|i686 [PROFILE]                  (dist)
#
# Programs for 32-bit machines have the engines linked in; i686 is for tests of that. A directory of
# its own, so that other builds need not wait for this one.
set -euo pipefail
cd "$(dirname "$0")/.."
arch=$1 profile=${2:-dist}

say() { echo "build: $*" >&2; }
target=$(scripts/static-target.sh "$arch")
zig=$(scripts/zig-path.sh)
build_dir=target/dist-build
args=() flags=(-C relocation-model=static -C symbol-mangling-version=v0)
export SSR_LINKED_ENGINES=""
if [[ $arch == armv7 || $arch == armv6 || $arch == i686 ]]; then
  SSR_LINKED_ENGINES=$(scripts/linked-engines.sh target/release/ssr "$target")
  mapfile -t args < <(scripts/patched-crates.sh)
  # For the copies' own lock file.
  export RUSTC_BOOTSTRAP=1
fi
if [[ $arch == armv* ]]; then
  # rustup has no standard library for ARMv6, which the stable compiler builds only if it is told so;
  # and then zig brings what programs start with. ARMv7 is built in the same way.
  args+=("-Zbuild-std=std,panic_abort")
  flags+=(-C link-self-contained=no --cfg patched_fibers)
fi
LIBSECCOMP_LIB_PATH=$(scripts/libseccomp.sh "${target%%-*}")
export LIBSECCOMP_LINK_TYPE=static LIBSECCOMP_LIB_PATH
say "compiling for $arch with the profile $profile (several minutes)"
encoded=$(scripts/portable-rustflags.sh "${flags[@]}")
CARGO_ENCODED_RUSTFLAGS=$encoded PATH=$PWD/.cache/zig/bin:$PATH CARGO_ZIGBUILD_ZIG_PATH=$zig \
  cargo zigbuild --quiet --profile "$profile" --target "$target" --target-dir "$build_dir" --package ssr-cli "${args[@]}"
echo "$PWD/$build_dir/$target/$profile/ssr"
