#!/usr/bin/env bash
# Writes what the static program is made of, as CycloneDX JSON: the crates in it and their licences, those
# of the JavaScript engine that it carries, and the C libraries.
#
#   scripts/sbom.sh amd64|arm64|armv7|armv6 FILE
#
# The same source gives the same bytes (scripts/source-date.sh).
set -euo pipefail
cd "$(dirname "$0")/.."
arch=$1 file=$2

die() {
  echo "sbom: $*" >&2
  exit 1
}

target=$(scripts/static-target.sh "$arch")
cyclonedx=$(scripts/cyclonedx-path.sh)
# Debian's source package, of which it is built.
scripts/libseccomp.sh "${target%%-*}" >/dev/null
seccomp=$(find .cache/libseccomp/source -name 'libseccomp_*.dsc')
seccomp=$(basename "$seccomp" .dsc)
SOURCE_DATE_EPOCH=$(scripts/source-date.sh)
export SOURCE_DATE_EPOCH

# cargo-cyclonedx writes beside each Cargo.toml of the workspace.
copy=$(mktemp --directory)
trap 'rm -rf "$copy"' EXIT
tar --create --exclude=./target --exclude=./.cache --exclude=./.git --exclude=node_modules . |
  tar --extract --directory "$copy"

# describe DIRECTORY TARGET: writes DIRECTORY/*.cdx.json. What only the build needs is left out.
describe() {
  (cd "$copy" && "$cyclonedx" cyclonedx --quiet --quiet --manifest-path "$1/Cargo.toml" --format json --spec-version 1.5 \
    --no-build-deps --target "$2" --override-filename sbom) || die "cargo-cyclonedx failed"
}
describe cli "$target"
mv "$copy/cli/sbom.json" "$copy/program.json"
describe images/engine wasm32-wasip1

patched=()
[[ $arch != armv* ]] || mapfile -t patched < <(basename --multiple --suffix .patch patches/*.patch)
mkdir -p "$(dirname "$file")"
node scripts/merge-sboms.mjs "$copy" "$copy/program.json" "$copy/images/engine/sbom.json" "${seccomp#libseccomp_}" \
  "${patched[@]}" >"$copy/merged.json"
mv "$copy/merged.json" "$file"
