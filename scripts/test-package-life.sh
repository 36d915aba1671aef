#!/usr/bin/env bash
# In a Debian root that may be changed: installs a package, upgrades, removes and purges it, while a site is
# served by itself and another one as a container.
#
#   scripts/in-debian.sh RELEASE scripts/test-package-life.sh OLDER NEWER MODULE IMAGE
#
# scripts/test-packages.sh calls it.
set -euo pipefail
older=$1 newer=$2 module=$3 image=$4

release=$(. /etc/os-release && echo "$VERSION_CODENAME")
say() { echo "test-packages: $release: $*" >&2; }
die() {
  say "$*"
  cat /tmp/*.log >&2
  exit 1
}
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 HOME=/tmp/home
name="containerd-shim-ssr"
# The last is systemd's.
mkdir -p "$HOME" /etc/containerd /var/cache/private

# Without what is no part of the root, dpkg's own records, and what containerd makes for itself.
all_files() {
  find / \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path "${PWD%/}" \
    -o -path /var/lib/dpkg -o -path /var/log -o -path /etc/cni -o -path /opt/containerd \
    -o -path '/var/lib/containerd/*' ! -path '/var/lib/containerd/io.containerd.ssr.v1*' \) -prune -o -print | sort
}

version() { dpkg-query --show --showformat '${Version}' "$name"; }

# answers PORT: whether the site there answers now.
answers() { curl --silent --max-time 10 "http://127.0.0.1:$1/" | grep -q 'hello from a package'; }

# page PORT: whether the site there answers, at the latest in a minute.
page() {
  local attempt
  for attempt in $(seq 60); do
    if answers "$1"; then return; fi
    [[ $attempt -eq 60 ]] || sleep 1
  done
  die "nothing answers at port $1"
}

both_answer() {
  page 8001
  page 8080
  kill -0 "$server" || die "ssr serve has ended: $1"
  # The very same container.
  ctr task list | grep -q "^site  *$task  *RUNNING" || die "the container has ended: $1"
}

# visit PORT: a visitor who asks again and again, until /tmp/visiting is gone.
visit() {
  while [[ -e /tmp/visiting ]]; do
    if answers "$1"; then echo "$1" >>/tmp/answered; else echo "$1" >>/tmp/lost; fi
  done
}

# Ends the visitors. Each was answered, and often.
no_request_was_lost() {
  local port
  rm /tmp/visiting
  wait "$@"
  [[ ! -s /tmp/lost ]] || die "requests to these ports were not answered: $(sort /tmp/lost | uniq -c | xargs)"
  for port in 8001 8080; do
    [[ $(grep -cx "$port" /tmp/answered) -ge 20 ]] || die "port $port was asked too seldom to say anything"
  done
  say "ok: $(wc -l </tmp/answered) requests in the meantime, all answered"
}

all_files >/tmp/before
before=$(cat /etc/containerd/config.toml 2>/dev/null || echo none)

dpkg --install "$older" >/tmp/dpkg.log 2>&1 || die "it does not install"
[[ $(version) == 0.0.1 ]] || die "another version is installed: $(version)"
ssr --version >/dev/null
containerd-shim-ssr-v1 -v >/dev/null
[[ $(readlink -f /usr/bin/ssr) == /usr/bin/containerd-shim-ssr-v1 ]] || die "/usr/bin/ssr is not the shim"
dpkg --verify "$name" | tee /tmp/verify.log
[[ ! -s /tmp/verify.log ]] || die "files differ from the package's sums"
for unit in ssr@blog.service ssr@blog.socket; do
  systemd-analyze verify --man=no "$unit" 2>/tmp/units.log || die "systemd does not accept $unit"
done
[[ -z $(find /etc -name 'ssr@*') ]] || die "the package enables units"

# A site by itself, and one as a container, from the older package.
ssr serve --listen 127.0.0.1:8001 "$module" 2>/tmp/serve.log &
server=$!
containerd >/tmp/containerd.log 2>&1 &
containerd=$!
for _ in $(seq 60); do
  ctr version >/dev/null 2>&1 && break
  sleep 0.5
done
ctr image import --platform wasi/wasm "$image" >/tmp/import.log 2>&1 || die "the image cannot be imported"
ctr run --detach --net-host --runtime io.containerd.ssr.v1 --platform wasi/wasm docker.io/library/site:latest site \
  >/tmp/run.log 2>&1 || die "the container does not start"
task=$(ctr task list | awk '$1 == "site" { print $2 }')
both_answer "at first"
say "ok: installed; a site and a container run"
touch /tmp/{visiting,answered,lost}
visit 8001 &
visitors=($!)
visit 8080 &
visitors+=($!)

dpkg --install "$newer" >/tmp/dpkg.log 2>&1 || die "it does not upgrade"
[[ $(version) != 0.0.1 ]] || die "it was not upgraded"
both_answer "by an upgrade"
readlink "/proc/$server/exe" | grep -q deleted || die "the program that runs was not replaced as a whole"
# What the older shim runs, ctr still reaches.
ctr task exec --exec-id health site ssr health >/tmp/exec.log 2>&1 || die "the container's shim does not answer after an upgrade"
say "ok: upgraded; both run on, with the program that they had"

# Engines are configured, and sites are the administrator's.
ssr node install --engine containerd >/tmp/node.log 2>&1 || die "ssr node install fails"
mkdir -p /etc/ssr /var/lib/ssr /etc/containerd-shim-ssr /var/lib/containerd/io.containerd.ssr.v1
echo SSR_ACCESS_LOG=on >/etc/ssr/blog.env
cp "$image" /var/lib/ssr/blog.tar
echo '[cache]' >/etc/containerd-shim-ssr/config.toml
# Compiled code: the container's, and what the service blog would have, as DynamicUser=yes places it.
[[ -n $(find /var/lib/containerd/io.containerd.ssr.v1 -type f) ]] || touch /var/lib/containerd/io.containerd.ssr.v1/code
mkdir -p /var/cache/private/ssr/blog /var/cache/ssr
ln -s ../private/ssr/blog /var/cache/ssr/blog
dpkg --remove "$name" >/tmp/dpkg.log 2>&1 || die "it cannot be removed"
[[ ! -e /usr/bin/ssr && ! -e /usr/bin/containerd-shim-ssr-v1 ]] || die "a removal leaves the program"
both_answer "by a removal"
grep -q 'ssr node remove' /tmp/dpkg.log || die "a removal does not say that engines name the shim"
# containerd 2 has the shim's path.
entry=io.containerd.ssr.v1
[[ $release != forky ]] || entry='runtime_path = "/usr/bin/containerd-shim-ssr-v1"'
grep -q "^-.*$entry" /tmp/dpkg.log || die "a removal does not show what is left in the configuration"
[[ -d /var/lib/containerd/io.containerd.ssr.v1 ]] || die "a removal takes what only a purge may"
dpkg --purge "$name" >/tmp/dpkg.log 2>&1 || die "it cannot be purged"
[[ -s /var/lib/containerd-shim-ssr/node/record.json ]] || die "a purge takes what the configuration was before"
say "ok: removed; both run on, and it says how to undo what ssr node install did"

# As it said.
dpkg --install "$newer" >/tmp/dpkg.log 2>&1 || die "it does not install again"
both_answer "by an installation"
no_request_was_lost "${visitors[@]}"
ssr node remove >/tmp/node.log 2>&1 || die "ssr node remove fails"
[[ $(cat /etc/containerd/config.toml 2>/dev/null || echo none) == "$before" ]] || die "containerd's configuration is not as before"
ctr task kill --signal SIGTERM site
for _ in $(seq 60); do
  ctr task list | grep -q '^site .*STOPPED' && break
  sleep 0.5
done
ctr task delete site >/tmp/delete.log 2>&1 || die "the container cannot be deleted"
ctr container delete site
ctr image remove docker.io/library/site:latest >/dev/null
kill "$server" && wait "$server"
kill "$containerd"
wait "$containerd" || true
dpkg --purge "$name" >/tmp/dpkg.log 2>&1 || die "it cannot be purged"
! grep -q 'ssr node' /tmp/dpkg.log || die "it warns of a configuration that is as before"
all_files >/tmp/after
cat >/tmp/kept <<'KEPT'
/etc/containerd-shim-ssr
/etc/containerd-shim-ssr/config.toml
/etc/ssr
/etc/ssr/blog.env
/var/lib/ssr
/var/lib/ssr/blog.tar
KEPT
comm -13 /tmp/before /tmp/after >/tmp/left
diff /tmp/kept /tmp/left >&2 || die "a purge leaves something, or takes what is the administrator's"
[[ -z $(find /var/lib/dpkg -name "$name*") ]] || die "dpkg still knows the package"
say "ok: purged; only the administrator's files are left"
