#!/usr/bin/env bash
# Runs a command where a current Docker runs, in namespaces of its own that end
# with the command; this repository is /src there, and writable:
#
#   scripts/docker-lab.sh docker version
#
# Docker comes from a newer Debian, kept in .cache/docker-root: Debian 12's has no
# containerd image store and takes no image for wasi/wasm.
set -euo pipefail
cd "$(dirname "$0")/.."

release=${DOCKER_RELEASE:-forky}
root=$PWD/.cache/docker-root/$release
packages=containerd,docker.io,docker-cli,docker-buildx,runc,iproute2,iptables,ca-certificates,procps

say() { echo "docker-lab: $*" >&2; }
die() {
  say "$*"
  exit 1
}

make_root() {
  local scripts=/usr/share/debootstrap/scripts partial=$root.partial mirror
  command -v debootstrap >/dev/null || die "debootstrap is missing: run scripts/setup.sh docker"
  # Older debootstraps do not know newer releases, which are made like sid.
  local script=$release
  [[ -e $scripts/$release ]] || script=sid
  mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
  say "installing Debian $release with Docker into .cache (a few minutes, once)"
  rm -rf "$partial"
  mkdir -p "$partial"
  debootstrap --variant=minbase "--include=$packages" "$release" "$partial" "$mirror" "$scripts/$script" \
    >"$root.log" 2>&1 || {
    tail -n 20 "$root.log" >&2
    die "debootstrap failed; its log is $root.log"
  }
  mv "$partial" "$root"
}

# Runs as the first process of the namespaces.
enter() {
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount -t sysfs sysfs "$root/sys"
  mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
  mount --rbind /dev "$root/dev"
  local directory
  for directory in run tmp var/lib/docker var/lib/containerd; do
    mkdir -p "$root/$directory"
    mount -t tmpfs tmpfs "$root/$directory"
  done
  mkdir -p "$root/src" "$root/old"
  mount --bind "$PWD" "$root/src"
  cd "$root"
  pivot_root . old
  umount --lazy old
  cd /src
  export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp
  ip link set lo up
  containerd >/tmp/containerd.log 2>&1 &
  echo '{"features":{"containerd-snapshotter":true}}' >/tmp/daemon.json
  dockerd --config-file /tmp/daemon.json --containerd /run/containerd/containerd.sock >/tmp/dockerd.log 2>&1 &
  local end=$((SECONDS + 60))
  until docker version >/dev/null 2>&1; do
    ((SECONDS < end)) || {
      tail -n 20 /tmp/containerd.log /tmp/dockerd.log >&2
      die "dockerd does not answer"
    }
    sleep 0.2
  done
  local code=0
  "$@" || code=$?
  # What the daemons have in the host's cgroup hierarchies goes with them.
  kill %2 || true
  wait %2 || true
  kill %1 || true
  wait %1 || true
  exit "$code"
}

if [[ ${DOCKER_LAB:-} == inside ]]; then
  enter "$@"
fi
[[ $# -gt 0 ]] || die "usage: scripts/docker-lab.sh COMMAND..."
[[ $EUID -eq 0 ]] || die "run this as root: it makes namespaces and mounts"
[[ -d $root ]] || make_root
DOCKER_LAB=inside exec unshare --mount --net --pid --uts --ipc --fork --kill-child \
  --propagation private "$0" "$@"
