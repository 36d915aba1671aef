#!/usr/bin/env bash
# cargo, for the whole workspace in its release profile: scripts/cargo-release.sh build|test [ARGUMENT...]
set -euo pipefail
cd "$(dirname "$0")/.."
command=$1
shift
exec cargo "$command" --release --workspace "$@"
