#!/usr/bin/env bash
# Follows the guides in docs to the letter, on an emulated machine with systemd, containerd and Docker:
# runs the commands that they mark as `sh`, one after the other.
#
#   scripts/test-guides.sh [DIRECTORY]                  (target/release)
#
# DIRECTORY has the program for this machine under its two names. As root, after scripts/setup.sh
# debian vm. What only a Raspberry Pi or k3s' installer can do is not marked, and not followed.
set -euo pipefail
cd "$(dirname "$0")/.."

directory=$(realpath "${1:-target/release}")
[[ -x $directory/ssr ]] || {
  echo "test-guides: $directory/ssr is missing: run make build first" >&2
  exit 1
}
mkdir -p target
work=$(mktemp --directory "$PWD/target/test-guides.XXXXXX")
trap 'rm -rf "$work"' EXIT

arch=$(dpkg --print-architecture) version=$(scripts/version.sh)
tree=$work/containerd-shim-ssr-$version-linux-$arch
scripts/stage.sh "$directory/ssr" "$directory" "$tree"
# Nobody downloads these.
export DPKG_DEB_COMPRESSOR_LEVEL=0
scripts/deb.sh "$arch" "$tree" "$work/older" 0.0.1 >/dev/null
scripts/deb.sh "$arch" "$tree" "$work/newer" >/dev/null
tar --create --gzip --file "$tree.tar.gz" --directory "$work" "$(basename "$tree")"
rm -r "$tree"
cat >"$work/page.js" <<'JS'
export default { fetch: () => new Response('hello from a guide\n') };
JS
"$directory/ssr" build "$work/page.js" -o "$work/ssr.wasm" >&2
mkdir "$work/assets"
"$directory/ssr" image --wasm "$work/ssr.wasm" --static "$work/assets" --tag site -o "$work/site.tar" >&2

scripts/vm.sh --engines scripts/follow-guides.sh "$work"
