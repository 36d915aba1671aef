#!/usr/bin/env bash
# Copies the crates that patches/ has patches for, applies those, and prints the arguments by which
# cargo takes the copies, a line each. 32-bit machines need them; each patch says why.
set -euo pipefail
cd "$(dirname "$0")/.."

out=$PWD/target/patched
rm -rf "$out"
mkdir -p "$out"
cargo metadata --locked --format-version 1 --filter-platform arm-unknown-linux-musleabihf >"$out/metadata.json"
for patch in patches/*.patch; do
  crate=$(basename "$patch" .patch)
  manifest=$(python3 -c 'import json, sys
print(*(p["manifest_path"] for p in json.load(sys.stdin)["packages"] if p["name"] == sys.argv[1]))' \
    "$crate" <"$out/metadata.json")
  [[ -f $manifest ]] || {
    echo "patched-crates: $patch is for $crate, which Cargo.lock does not name once" >&2
    exit 1
  }
  cp -r "$(dirname "$manifest")" "$out/$crate"
  patch --quiet --strip 1 --directory "$out/$crate" --input "$PWD/$patch" >&2
  echo "--config"
  echo "patch.crates-io.$crate.path='$out/$crate'"
done
# Cargo.lock does not know of the copies.
cp Cargo.lock "$out/Cargo.lock"
echo "-Zlockfile-path"
echo "--config"
echo "resolver.lockfile-path='$out/Cargo.lock'"
