#!/usr/bin/env bash
# Builds static tarballs of both binaries into target/dist and runs each binary, under
# qemu where the processor is another one:
#
#   scripts/dist.sh amd64|arm64...
#
# target/dist/containerd-shim-ssr-VERSION-linux-ARCH.tar.gz holds the shim, `ssr`,
# the licence and the README.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "dist: $*" >&2; }
die() {
  say "$*"
  exit 1
}

version=$(scripts/version.sh)
# A directory of its own, so that other builds need not wait for this one.
build_dir=target/dist-build
dist_dir=target/dist

# machine ARCH: the name that Rust and the kernel have for the processor.
machine() {
  case $1 in
    amd64) echo x86_64 ;;
    arm64) echo aarch64 ;;
    *) die "unknown architecture $1: amd64 or arm64" ;;
  esac
}

build() {
  local machine=$1 zig seccomp
  zig=$(scripts/zig-path.sh)
  seccomp=$(scripts/libseccomp.sh "$machine")
  say "compiling for $machine (several minutes)"
  # At a fixed address, as .cargo/config.toml has it for this machine.
  RUSTFLAGS="-C relocation-model=static" \
    PATH=$PWD/.cache/zig/bin:$PATH CARGO_ZIGBUILD_ZIG_PATH=$zig \
    LIBSECCOMP_LINK_TYPE=static LIBSECCOMP_LIB_PATH=$seccomp \
    cargo zigbuild --quiet --release --target "$machine-unknown-linux-musl" --target-dir "$build_dir" \
    --package containerd-shim-ssr --package ssr-cli
}

# check MACHINE DIRECTORY: both binaries print their version, and `ssr` builds
# and serves a page.
check() {
  local machine=$1 directory=$2 run=() work server url
  [[ $machine == "$(uname -m)" ]] || run=("qemu-$machine-static")
  for binary in ssr containerd-shim-ssr-v1; do
    if readelf --program-headers "$directory/$binary" | grep -q INTERP; then die "$binary is not static"; fi
  done
  "${run[@]}" "$directory/ssr" --version | grep -F "$version" >&2
  "${run[@]}" "$directory/containerd-shim-ssr-v1" -v | grep -F "$version" >&2

  work=$(mktemp -d)
  mkdir "$work/assets"
  cat >"$work/page.js" <<'JS'
export default { fetch: () => new Response('<h1>hello from dist</h1>', { headers: { 'content-type': 'text/html' } }) };
JS
  url=127.0.0.1:$((20000 + RANDOM % 20000))
  "${run[@]}" "$directory/ssr" build "$work/page.js" -o "$work/ssr.wasm" >&2
  "${run[@]}" "$directory/ssr" serve --listen "$url" "$work/ssr.wasm" "$work/assets" >&2 &
  server=$!
  # shellcheck disable=SC2064
  trap "kill $server 2>/dev/null; rm -rf '$work'" EXIT
  # Compiling the module takes a while on an emulated processor.
  curl --silent --retry 180 --retry-delay 1 --retry-connrefused --max-time 600 "http://$url/" >"$work/answer" ||
    die "ssr serve does not answer on $machine"
  grep -qF 'hello from dist' "$work/answer" || die "ssr serve answers wrongly: $(cat "$work/answer")"
  kill "$server"
  wait "$server" || die "ssr serve fails on SIGTERM"
  rm -rf "$work"
  trap - EXIT
  say "$machine: both binaries run, and a page is served"
}

pack() {
  local arch=$1 directory=$2 name=containerd-shim-ssr-$version-linux-$1
  local stage=$build_dir/stage/$name
  rm -rf "$stage"
  mkdir -p "$stage" "$dist_dir"
  install -m 755 "$directory/containerd-shim-ssr-v1" "$directory/ssr" "$stage"
  install -m 644 LICENSE README.md "$stage"
  # The same bytes for the same files: sorted, without times and owners.
  tar --create --sort=name --mtime="@${SOURCE_DATE_EPOCH:-0}" --owner=0 --group=0 --numeric-owner \
    --directory "$build_dir/stage" "$name" | gzip --no-name --best >"$dist_dir/$name.tar.gz"
  say "$dist_dir/$name.tar.gz, $(($(stat -c %s "$dist_dir/$name.tar.gz") / 1024)) KiB"
}

[[ $# -gt 0 ]] || die "usage: scripts/dist.sh amd64|arm64..."
[[ -f target/engine/engine.wasm ]] || die "target/engine/engine.wasm is missing: run scripts/build-engine.sh first"
[[ -x target/release/ssr ]] || die "target/release/ssr, which compiles engines, is missing: run make build first"
for file in LICENSE README.md; do
  [[ -f $file ]] || die "$file is missing, which belongs into the tarball"
done
for arch in "$@"; do
  machine=$(machine "$arch")
  build "$machine"
  built=$build_dir/$machine-unknown-linux-musl/release
  directory=$build_dir/with-engines/$arch
  mkdir -p "$directory"
  scripts/attach-engines.sh target/release/ssr "$directory" "$built/ssr" "$built/containerd-shim-ssr-v1"
  check "$machine" "$directory"
  pack "$arch" "$directory"
done
