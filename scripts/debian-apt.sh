#!/usr/bin/env bash
# Runs apt-get in a directory with package lists of its own, of one of Debian's releases: the
# system's package sources are not changed.
#
#   scripts/debian-apt.sh DIRECTORY SUITE download PACKAGE...
#   scripts/debian-apt.sh DIRECTORY SUITE source --download-only PACKAGE...
#
# apt verifies what it downloads. The lists stay in DIRECTORY/apt, for the next call.
# DEBIAN_MIRROR names another mirror, DEBIAN_ARCHITECTURE another architecture.
set -euo pipefail

directory=$(realpath "$1") suite=$2
shift 2
lists=$directory/apt
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
# The release may be older than its index allows.
options=(-qq -o "Dir::Etc::SourceList=$lists/sources.list" -o Dir::Etc::SourceParts=/dev/null
  -o "Dir::State::Lists=$lists/lists" -o "Dir::State::status=$lists/status" -o "Dir::Cache=$lists"
  -o Acquire::Check-Valid-Until=false -o Acquire::Languages=none -o APT::Sandbox::User=root)
if [[ -n ${DEBIAN_ARCHITECTURE:-} ]]; then
  options+=(-o "APT::Architecture=$DEBIAN_ARCHITECTURE" -o "APT::Architectures=$DEBIAN_ARCHITECTURE")
fi

if [[ ! -e $lists/updated ]]; then
  if [[ ! -e $keyring ]]; then
    echo "debian-apt: $keyring is missing: install debian-archive-keyring" >&2
    exit 1
  fi
  mkdir -p "$lists"/{lists,archives}/partial
  : >"$lists/status"
  for kind in deb deb-src; do
    echo "$kind [signed-by=$keyring] ${DEBIAN_MIRROR:-http://deb.debian.org/debian} $suite main"
  done >"$lists/sources.list"
  apt-get "${options[@]}" update >&2
  touch "$lists/updated"
fi
cd "$directory"
apt-get "${options[@]}" "$@" >&2
