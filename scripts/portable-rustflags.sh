#!/usr/bin/env bash
# Prints flags for rustc as CARGO_ENCODED_RUSTFLAGS takes them: those that are given, and others that
# name sources alike wherever this repository, cargo's registry and the toolchain are. Panics have
# these names in them: without the flags, who builds the same source elsewhere gets other bytes, and
# an engine with another digest, which no program of this release recognizes.
#
#   CARGO_ENCODED_RUSTFLAGS=$(scripts/portable-rustflags.sh [FLAG...]) cargo build
#   scripts/portable-rustflags.sh --verify FILE      fails if the file names one of these directories
set -euo pipefail
cd "$(dirname "$0")/.."

commit=$(rustc --version --verbose | sed -n 's/^commit-hash: //p')
library=$(rustc --print sysroot)/lib/rustlib/src/rust
# Directories and their names in a program. Of those that match, rustc takes the last one. The
# standard library names its own sources in this way already.
names=(
  "$(pwd -P)=/containerd-shim-ssr"
  "${CARGO_HOME:-$HOME/.cargo}=/cargo"
  "$library=/rustc/$commit"
)

if [[ ${1:-} == --verify ]]; then
  file=${2:?usage: scripts/portable-rustflags.sh --verify FILE}
  [[ -f $file ]] || {
    echo "portable-rustflags: there is no file $file" >&2
    exit 1
  }
  for name in "${names[@]}"; do
    # Not where another path goes on with it, as each crate's does with /src.
    if LC_ALL=C grep --text --quiet --perl-regexp "(?<![\\w./-])\\Q${name%=*}\\E/" "$file"; then
      echo "portable-rustflags: $file names ${name%=*}: its bytes depend on where it was built" >&2
      exit 1
    fi
  done
  exit
fi
flags=("$@" "${names[@]/#/--remap-path-prefix=}")
IFS=$'\x1f'
printf '%s' "${flags[*]}"
