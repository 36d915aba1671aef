#!/usr/bin/env bash
# Puts the engines of scripts/engine-releases.sh, compiled, into a copy of the program for a 64-bit
# machine:
#
#   scripts/attach-engines.sh SSR PROGRAM DIRECTORY
#
# SSR is an `ssr` that runs here; PROGRAM may be for another machine. The copy has its two names
# in the directory.
set -euo pipefail
cd "$(dirname "$0")/.."
ssr=$1 program=$2 directory=$3

mapfile -t engines < <(scripts/engine-releases.sh)
copy=$directory/with-engines
mkdir -p "$directory"
"$ssr" engine attach "${engines[@]/#/--engine=}" --output "$copy" "$program"
scripts/name-program.sh "$copy" "$directory"
