#!/usr/bin/env bash
# Prints the path of kubernetes-validate, which carries the schemas of Kubernetes' objects.
# Installs it from PyPI into .cache/kubernetes-validate if it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

# Its version is that of the newest Kubernetes that it knows.
version=1.37.0
venv=$PWD/.cache/kubernetes-validate/$version
if [[ ! -x $venv/bin/kubernetes-validate ]]; then
  echo "kubernetes-validate: installing it from PyPI into .cache/kubernetes-validate" >&2
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "kubernetes-validate==$version" >&2
fi
echo "$venv/bin/kubernetes-validate"
