#!/usr/bin/env bash
# Installs what `make build` has left in a directory, or removes it, as install.sh of the tarball does:
#
#   [PREFIX=/usr/local] [DESTDIR=] scripts/make-install.sh DIRECTORY [--uninstall]
set -euo pipefail
cd "$(dirname "$0")/.."
directory=$1

[[ -x $directory/ssr ]] || {
  echo "install: $directory/ssr is missing: run make build first" >&2
  exit 1
}
tree=$(mktemp --directory)
trap 'rm -rf "$tree"' EXIT
scripts/stage.sh "$directory/ssr" "$directory" "$tree"
UNDO="make uninstall" "$tree/install.sh" "${@:2}"
