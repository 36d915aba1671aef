#!/usr/bin/env bash
# Puts the engines that are listed below, compiled, into copies of programs:
#
#   scripts/attach-engines.sh SSR DIRECTORY PROGRAM...
#
# SSR is an `ssr` that runs here; the programs may be for another machine.
set -euo pipefail
cd "$(dirname "$0")/.."
ssr=$1 directory=$2
shift 2

# Whose sites run without being compiled: VERSION=FILE, the newest first. An earlier release's
# engine stays as long as sites made by it should.
engines=(
  "$(scripts/version.sh)=target/engine/engine.wasm"
)
"$ssr" engine attach "${engines[@]/#/--engine=}" --output "$directory" "$@"
