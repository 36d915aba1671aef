#!/usr/bin/env bash
# Prints the path of a current kubectl, which renders the manifests. Unpacks Debian's, of
# the release that has the newest, into .cache/kubectl if it is missing.
#
# apt downloads and verifies the package, using separate package lists: the system's package
# sources are not changed.
set -euo pipefail
cd "$(dirname "$0")/.."

suite=forky
cache=$PWD/.cache/kubectl
kubectl=$cache/usr/bin/kubectl

fetch() {
  local work keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  if [[ ! -e $keyring ]]; then
    echo "kubectl: $keyring is missing: install debian-archive-keyring" >&2
    exit 1
  fi
  work=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "rm -rf '$work'" EXIT
  mkdir -p "$work/lists/partial" "$work/archives/partial"
  : >"$work/status"
  echo "deb [signed-by=$keyring] ${DEBIAN_MIRROR:-http://deb.debian.org/debian} $suite main" >"$work/sources.list"
  # The release may be older than its index allows.
  local options=(-qq -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$work/lists" -o "Dir::State::status=$work/status" -o "Dir::Cache=$work"
    -o Acquire::Check-Valid-Until=false -o Acquire::Languages=none -o APT::Sandbox::User=root)
  echo "kubectl: unpacking kubectl of Debian $suite into .cache/kubectl" >&2
  apt-get "${options[@]}" update >&2
  (cd "$work" && apt-get "${options[@]}" download kubectl >&2)
  rm -rf "$cache" "$cache.partial"
  mkdir -p "$cache.partial"
  dpkg-deb --extract "$work"/kubectl_*.deb "$cache.partial"
  mv "$cache.partial" "$cache"
}

[[ -x $kubectl ]] || fetch
echo "$kubectl"
