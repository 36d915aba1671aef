#!/usr/bin/env bash
# Builds the peer of bench-render that interprets modules as 32-bit machines had to, with wazero
# (bench/wazero), as a program for 32-bit x86, and prints its path. wazero and Go are Debian's, of
# the release that has the newest, unpacked below .cache/wazero.
set -euo pipefail
cd "$(dirname "$0")/.."

suite=forky
cache=$PWD/.cache/wazero

fetch() {
  local work
  work=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "rm -rf '$work'" EXIT
  echo "wazero: unpacking wazero and Go of Debian $suite into .cache/wazero" >&2
  scripts/debian-apt.sh "$work" "$suite" download golang-1.27-go golang-1.27-src \
    golang-github-tetratelabs-wazero-dev golang-golang-x-sys-dev
  rm -rf "$cache" "$cache.partial"
  mkdir -p "$cache.partial"
  for package in "$work"/*.deb; do dpkg-deb --extract "$package" "$cache.partial"; done
  mv "$cache.partial" "$cache"
}

[[ -x $cache/usr/lib/go-1.27/bin/go ]] || fetch
GOROOT=$cache/usr/lib/go-1.27 GOPATH=$cache/usr/share/gocode GOCACHE=$cache/build GO111MODULE=off GOTOOLCHAIN=local \
  GOARCH=386 CGO_ENABLED=0 "$cache/usr/lib/go-1.27/bin/go" build -o "$cache/wazero-render" ./bench/wazero
echo "$cache/wazero-render"
