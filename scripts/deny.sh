#!/usr/bin/env bash
# Checks the dependencies' licences and sources with cargo-deny, and their advisories
# if the advisory database can be downloaded. Builds cargo-deny into .cache/cargo-deny
# if it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.20.2
tools=$PWD/.cache/cargo-deny
if [[ $("$tools/bin/cargo-deny" --version 2>/dev/null) != "cargo-deny $version" ]]; then
  echo "deny: building cargo-deny $version into .cache/cargo-deny (several minutes)" >&2
  cargo install --quiet --locked --root "$tools" "cargo-deny@$version"
fi
"$tools/bin/cargo-deny" --all-features --locked check licenses bans sources

if "$tools/bin/cargo-deny" fetch db >/dev/null 2>&1; then
  "$tools/bin/cargo-deny" --all-features --locked check advisories
else
  echo "deny: SKIPPED: advisories were not checked because the advisory database cannot be downloaded" >&2
fi
