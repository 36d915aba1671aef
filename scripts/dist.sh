#!/usr/bin/env bash
# Builds the static program and runs it, under qemu where the processor is another one, and packs it
# into target/dist:
#
#   scripts/dist.sh amd64|arm64|armv7|armv6...
#   scripts/dist.sh --built DIRECTORY ARCH       packs the program in DIRECTORY, under its two names
#
# containerd-shim-ssr-VERSION-linux-ARCH.tar.gz   what is installed, and install.sh, which does that
# containerd-shim-ssr_VERSION_ARCH.deb            the same as a Debian package
# containerd-shim-ssr-VERSION-linux-ARCH.cdx.json what it is made of, as CycloneDX
# containerd-shim-ssr-v1-linux-ARCH.tar.gz        the shim and nothing else, for runtime-class-manager
# SHA256SUMS                                      of all of these
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "dist: $*" >&2; }
die() {
  say "$*"
  exit 1
}

# What check works in, and the server that it has started.
work='' server=''
# A line for each architecture.
sizes=()
version=$(scripts/version.sh)
build_dir=target/dist-build
dist_dir=target/dist

# machine ARCH: the name that qemu has for the processor.
machine() {
  case $1 in
    amd64) echo x86_64 ;;
    arm64) echo aarch64 ;;
    armv7 | armv6) echo arm ;;
    *) die "unknown architecture $1: amd64, arm64, armv7 or armv6" ;;
  esac
}

# check MACHINE DIRECTORY: the program prints its version under both names, and serves a site's page
# and a component. It builds the site, too, and so does ours: the modules are equal.
check() {
  local machine=$1 directory=$2 run=()
  [[ $machine == "$(uname -m)" ]] || run=("qemu-$machine-static")
  if readelf --program-headers "$directory/ssr" | grep -q INTERP; then die "the program is not static"; fi
  scripts/portable-rustflags.sh --verify "$directory/ssr"
  "${run[@]}" "$directory/ssr" --version | grep -F "$version" >&2
  "${run[@]}" "$directory/containerd-shim-ssr-v1" -v | grep -F "$version" >&2

  work=$(mktemp -d)
  trap 'kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
  cat >"$work/page.js" <<'JS'
export default { fetch: () => new Response('<h1>hello from dist</h1>', { headers: { 'content-type': 'text/html' } }) };
JS
  "${run[@]}" "$directory/ssr" build "$work/page.js" -o "$work/ssr.wasm" >&2
  target/release/ssr build "$work/page.js" -o "$work/here.wasm" >&2
  cmp "$work/ssr.wasm" "$work/here.wasm" || die "a site built on $machine differs from one built here"
  serves "$work/ssr.wasm" 'hello from dist'
  serves "$hello" Hello
  rm -rf "$work"
  trap - EXIT
  say "$machine: it runs under both names, and a site and a component are served"
}

# serves MODULE TEXT: in check, whether `ssr serve` answers with the text.
serves() {
  local url=127.0.0.1:$((20000 + RANDOM % 20000))
  HOME=$work "${run[@]}" "$directory/ssr" serve --listen "$url" "$1" >&2 &
  server=$!
  # Compiling a component takes a while on an emulated processor.
  curl --silent --retry 180 --retry-delay 1 --retry-connrefused --max-time 600 "http://$url/" >"$work/answer" ||
    die "ssr serve does not answer on $machine: $1"
  grep -qF "$2" "$work/answer" || die "ssr serve answers wrongly: $1: $(cat "$work/answer")"
  kill "$server"
  wait "$server" || die "ssr serve fails on SIGTERM"
}

# reproduce_linked_engines ARCH: whether the engines, translated and compiled once more, have the same bytes.
reproduce_linked_engines() {
  local target first
  target=$(scripts/static-target.sh "$1")
  first=$(mktemp -d)
  cp "target/linked-engines/$target/"{libssr_engines.a,engines.rs} "$first"
  rm -r "target/linked-engines/$target"
  scripts/linked-engines.sh target/release/ssr "$target" >/dev/null
  for file in libssr_engines.a engines.rs; do
    cmp "$first/$file" "target/linked-engines/$target/$file" || die "engines for $1 differ from build to build"
  done
  # What cargo compares, so that it need not link again.
  touch --reference "$first/engines.rs" "target/linked-engines/$target/engines.rs"
  rm -r "$first"
}

pack() {
  local arch=$1 directory=$2 name=containerd-shim-ssr-$version-linux-$1
  local stage=$build_dir/stage/$name deb
  scripts/stage.sh target/release/ssr "$directory" "$stage"
  mkdir -p "$dist_dir"
  archive "$name" "$build_dir/stage" "$name"
  archive "containerd-shim-ssr-v1-linux-$arch" "$stage/bin" containerd-shim-ssr-v1
  deb=$(scripts/deb.sh "$arch" "$stage" "$dist_dir")
  scripts/sbom.sh "$arch" "$dist_dir/$name.cdx.json"
  sizes+=("$arch: program $(kib "$directory/containerd-shim-ssr-v1"), tarball $(kib "$dist_dir/$name.tar.gz"), package $(kib "$deb")")
}

# archive NAME DIRECTORY FILE: packs a file or directory that is in the directory.
archive() {
  # The same bytes for the same files: sorted, all of one time, without owners.
  tar --create --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
    --directory "$2" "$3" | gzip --no-name --best >"$dist_dir/$1.tar.gz"
}

kib() { echo "$(($(stat --format=%s "$1") / 1024)) KiB"; }

finish() {
  (cd "$dist_dir" && find . -type f ! -name 'SHA256SUMS*' -printf '%P\n' | LC_ALL=C sort | xargs -d '\n' sha256sum >SHA256SUMS.new)
  mv "$dist_dir/SHA256SUMS.new" "$dist_dir/SHA256SUMS"
  for line in "${sizes[@]}"; do say "$line"; done
  say "all in $dist_dir, with SHA256SUMS"
}

[[ $# -gt 0 ]] || die "usage: scripts/dist.sh amd64|arm64|armv7|armv6..., or scripts/dist.sh --built DIRECTORY ARCH"
[[ -f target/engine/engine.wasm ]] || die "target/engine/engine.wasm is missing: run scripts/build-engine.sh first"
[[ -x target/release/ssr ]] || die "target/release/ssr, which compiles engines, is missing: run make build first"
for file in LICENSE README.md; do
  [[ -f $file ]] || die "$file is missing, which belongs into the tarball"
done
SOURCE_DATE_EPOCH=$(scripts/source-date.sh)
if [[ $1 == --built ]]; then
  [[ $# -eq 3 ]] || die "usage: scripts/dist.sh --built DIRECTORY ARCH"
  machine "$3" >/dev/null
  pack "$3" "$2"
  finish
  exit
fi
hello=$(scripts/hello-component.sh)
for arch in "$@"; do
  machine=$(machine "$arch")
  program=$(scripts/build-static.sh "$arch")
  directory=$build_dir/with-engines/$arch
  if [[ $machine == arm ]]; then
    mkdir -p "$directory"
    cp "$program" "$directory/with-engines"
    reproduce_linked_engines "$arch"
    scripts/name-program.sh "$directory/with-engines" "$directory"
  else
    scripts/attach-engines.sh target/release/ssr "$program" "$directory"
    # Compiled once more, an engine has the same bytes.
    scripts/attach-engines.sh target/release/ssr "$program" "$directory-again"
    cmp "$directory/ssr" "$directory-again/ssr" || die "engines for $arch differ from build to build"
  fi
  check "$machine" "$directory"
  pack "$arch" "$directory"
done
finish
