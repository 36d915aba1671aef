#!/usr/bin/env bash
# Prints the path of cargo-cyclonedx. Builds it into .cache/cargo-cyclonedx if it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.5.9
tools=$PWD/.cache/cargo-cyclonedx
if [[ $("$tools/bin/cargo-cyclonedx" cyclonedx --version 2>/dev/null) != *" $version" ]]; then
  echo "cyclonedx: building cargo-cyclonedx $version into .cache/cargo-cyclonedx (several minutes)" >&2
  cargo install --quiet --debug --locked --root "$tools" "cargo-cyclonedx@$version" >&2
fi
echo "$tools/bin/cargo-cyclonedx"
