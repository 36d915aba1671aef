#!/usr/bin/env bash
# Prints the directory with the source of a crate that Cargo.lock names:
#
#   scripts/crate-source.sh CRATE RUST_TARGET
set -euo pipefail
cd "$(dirname "$0")/.."
crate=$1 target=$2

directory=$(cargo metadata --locked --format-version 1 --filter-platform "$target" | python3 -c 'import json, os, sys
print(*(os.path.dirname(p["manifest_path"]) for p in json.load(sys.stdin)["packages"] if p["name"] == sys.argv[1]))' "$crate")
[[ -d $directory ]] || {
  echo "crate-source: Cargo.lock does not name $crate once, for $target" >&2
  exit 1
}
echo "$directory"
