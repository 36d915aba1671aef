#!/usr/bin/env bash
# Runs what tests of `ssr` do not depend on the machine with an `ssr` for 32-bit x86, in which the
# engine is linked: the other back end, on this machine.
set -euo pipefail
cd "$(dirname "$0")/.."

[[ $(uname -m) == x86_64 ]] || {
  echo "test-32-bit: only x86-64 runs programs for 32-bit x86, and this is $(uname -m)" >&2
  exit 1
}
SSR_UNDER_TEST=$(scripts/build-static.sh i686 release)
export SSR_UNDER_TEST
cargo test --package ssr-cli --no-fail-fast --test serve --test logging --test request_url --test web_apis \
  --test web_api_members
