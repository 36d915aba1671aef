#!/usr/bin/env bash
# Puts the engines of scripts/engine-releases.sh, compiled, into copies of programs for 64-bit
# machines:
#
#   scripts/attach-engines.sh SSR DIRECTORY PROGRAM...
#
# SSR is an `ssr` that runs here; the programs may be for another machine.
set -euo pipefail
cd "$(dirname "$0")/.."
ssr=$1 directory=$2
shift 2

mapfile -t engines < <(scripts/engine-releases.sh)
"$ssr" engine attach "${engines[@]/#/--engine=}" --output "$directory" "$@"
