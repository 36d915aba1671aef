#!/usr/bin/env bash
# Prints Rust's name of the target of a static program:
#
#   scripts/static-target.sh amd64|arm64|armv7|armv6|i686
set -euo pipefail

case ${1:-} in
  amd64) echo x86_64-unknown-linux-musl ;;
  arm64) echo aarch64-unknown-linux-musl ;;
  armv7) echo armv7-unknown-linux-musleabihf ;;
  # Of every 32-bit Raspberry Pi, the first one included.
  armv6) echo arm-unknown-linux-musleabihf ;;
  i686) echo i686-unknown-linux-musl ;;
  *)
    echo "static-target: unknown architecture ${1:-}: amd64, arm64, armv7, armv6 or i686" >&2
    exit 1
    ;;
esac
