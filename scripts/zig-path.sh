#!/usr/bin/env bash
# Prints the path of the zig compiler. Installs it with cargo-zigbuild from PyPI into
# .cache/zig if it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=$PWD/.cache/zig
if [[ ! -x $venv/bin/cargo-zigbuild ]]; then
  echo "zig: installing ziglang and cargo-zigbuild from PyPI into .cache/zig" >&2
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check ziglang==0.17.0 cargo-zigbuild==0.24.0 >&2
fi
echo "$("$venv/bin/python" -c 'import ziglang, os; print(os.path.dirname(ziglang.__file__))')/zig"
