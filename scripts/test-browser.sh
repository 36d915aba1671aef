#!/usr/bin/env bash
# Runs the browser tests: Chromium against target/image/site.tar in a container under a
# private containerd.
set -euo pipefail
cd "$(dirname "$0")/.."

export DEMO=ssr-browser-test PORT=$((20000 + RANDOM % 20000))
screenshots=$PWD/target/screenshots
mkdir -p "$screenshots"
trap 'scripts/demo-stop.sh' EXIT
scripts/demo.sh target/image/site.tar

version=$(scripts/version.sh)
export SITE_URL=http://localhost:$PORT
export SITE_DIST=$PWD/target/site
export SCREENSHOT_DIR=$screenshots
# What the server tells the site about itself. On the host's network, the hostname is
# the host's.
SITE_ENV=$(printf '{"SSR_SERVER":"containerd-shim-ssr/%s","SSR_ARCH":"%s","SSR_BACKEND":"cranelift","SSR_HOSTNAME":"%s"}' \
  "$version" "$(uname -m)" "$(cat /proc/sys/kernel/hostname)")
export SITE_ENV
npm --prefix tests/browser test
