#!/usr/bin/env bash
# Prints the time, in seconds since 1970, that files of a release get: SOURCE_DATE_EPOCH, or the
# time of the last commit. So whoever builds the same source gets the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ -z ${SOURCE_DATE_EPOCH:-} ]]; then
  SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) || {
    echo "source-date: this is no git repository: set SOURCE_DATE_EPOCH" >&2
    exit 1
  }
fi
echo "$SOURCE_DATE_EPOCH"
