#!/usr/bin/env bash
# Prints the path of a current kubectl, which renders the manifests. Unpacks Debian's, of
# the release that has the newest, into .cache/kubectl if it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

suite=forky
cache=$PWD/.cache/kubectl
kubectl=$cache/usr/bin/kubectl

fetch() {
  local work
  work=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "rm -rf '$work'" EXIT
  echo "kubectl: unpacking kubectl of Debian $suite into .cache/kubectl" >&2
  scripts/debian-apt.sh "$work" "$suite" download kubectl
  rm -rf "$cache" "$cache.partial"
  mkdir -p "$cache.partial"
  dpkg-deb --extract "$work"/kubectl_*.deb "$cache.partial"
  mv "$cache.partial" "$cache"
}

[[ -x $kubectl ]] || fetch
echo "$kubectl"
