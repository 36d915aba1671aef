#!/usr/bin/env bash
# Copies the crates that patches/ has patches for, applies those, and prints the arguments by which
# cargo takes the copies, a line each. 32-bit machines need them; each patch says why.
set -euo pipefail
cd "$(dirname "$0")/.."

out=$PWD/target/patched
rm -rf "$out"
mkdir -p "$out"
for patch in patches/*.patch; do
  crate=$(basename "$patch" .patch)
  source=$(scripts/crate-source.sh "$crate" arm-unknown-linux-musleabihf)
  cp -r "$source" "$out/$crate"
  patch --quiet --strip 1 --directory "$out/$crate" --input "$PWD/$patch" >&2
  echo "--config"
  echo "patch.crates-io.$crate.path='$out/$crate'"
done
# Cargo.lock does not know of the copies.
cp Cargo.lock "$out/Cargo.lock"
echo "-Zlockfile-path"
echo "--config"
echo "resolver.lockfile-path='$out/Cargo.lock'"
