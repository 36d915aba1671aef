#!/usr/bin/env bash
# Moves the program into a directory, under the two names by which it knows what it is to be:
#
#   scripts/name-program.sh PROGRAM DIRECTORY
#
# The shim's is the file: containerd's library starts the shim once more, by the path behind a link.
set -euo pipefail

program=$1 directory=$2
mv "$program" "$directory/containerd-shim-ssr-v1"
ln --symbolic --force --no-dereference containerd-shim-ssr-v1 "$directory/ssr"
