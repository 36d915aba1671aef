#!/usr/bin/env bash
# Prints the engines whose sites run without being compiled, a line VERSION=FILE each, the newest
# first. An earlier release's engine stays as long as sites made by it should.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "$(scripts/version.sh)=target/engine/engine.wasm"
