#!/usr/bin/env bash
# On a machine with systemd, containerd and Docker that may be changed: runs the commands of the guides.
#
#   scripts/follow-guides.sh DIRECTORY
#
# DIRECTORY has what a person has got before: the package (older, newer), the tarball and the site's image.
# scripts/test-guides.sh calls it.
set -euo pipefail
files=$1 docs=$PWD/docs

say() { echo "test-guides: $*" >&2; }
die() {
  say "$*"
  exit 1
}

# follow GUIDE [HEADING]: runs the commands of a guide, or of one part of it.
follow() {
  local commands
  commands=$(awk -v heading="${2:-}" '
    /^## / { inside = $0 == "## " heading }
    /^```sh$/ { block = heading == "" || inside; next }
    /^```$/ { block = 0 }
    block' "$docs/$1")
  [[ -n $commands ]] || die "$1 has no commands${2:+ below $2}"
  say "following $1${2:+, $2}"
  bash -euxo pipefail -c "$commands" >"$log" 2>&1 </dev/null || {
    cat "$log" >&2
    die "$1 fails"
  }
  cat "$log" >&2
}

# Whether the site has answered, to the last guide or to ask.
has_answered() { grep -qx 'hello from a guide' "$log" || die "the site has not answered"; }

# ask PORT: asks a site that may only just have started.
ask() { curl --fail --silent --show-error --retry 20 --retry-connrefused "http://localhost:$1/" >"$log"; }

settings() { cat /etc/containerd/config.toml /etc/docker/daemon.json 2>&1 || true; }

log=$(mktemp)
home=$(mktemp --directory)
cd "$home"
cp "$files/older/"*.deb "$files/"*.tar.gz "$files/site.tar" .
before=$(settings)

for part in Install Run 'A new version of the site'; do follow guides/containerd.md "$part"; done
has_answered
grep -q 'listening on' /var/log/site.log || die "the log of the container is not where the guide says: $(cat /var/log/site.log)"
follow guides/containerd.md Stop

follow guides/docker.md
has_answered

# A container runs while the package is replaced.
rm ./*.deb
cp "$files/newer/"*.deb .
docker run --detach --name kept --runtime=ssr --platform=wasi/wasm --restart=always -p 8081:8080 site >/dev/null
follow guides/upgrade-and-remove.md Upgrade
ask 8081
has_answered
docker rm --force kept >/dev/null
follow guides/upgrade-and-remove.md Remove
[[ $(settings) == "$before" ]] || die "the configuration is not as before: $(settings)"
[[ ! -e /usr/bin/ssr ]] || die "the program is still there"

# Without an engine, from the tarball.
systemctl stop docker.socket docker containerd
follow without-containers.md 'A Pi Zero, from an empty card to a site'
ask 8080
has_answered
systemctl stop ssr@blog.socket ssr@blog.service
say "all passed"
