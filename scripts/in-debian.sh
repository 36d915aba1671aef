#!/usr/bin/env bash
# Runs a command with the containerd and Docker of another Debian release, in
# namespaces that end with the command. This repository is mounted writable at its
# usual path:
#
#   scripts/in-debian.sh bookworm|trixie|forky|forky-go|forky-lintian COMMAND [ARGUMENT...]
#
# bookworm has no Docker, because Debian 12's cannot run sites. forky-go is forky with Go,
# containerd's sources and what they import, and a registry; forky-lintian with lintian.
#
# The release is kept unchanged in .cache/debian; whatever the command writes to it is
# discarded. Neither engine is started: the tests start their own.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "in-debian: $*" >&2; }
die() {
  say "$*"
  exit 1
}

usage="usage: scripts/in-debian.sh bookworm|trixie|forky|forky-go|forky-lintian COMMAND [ARGUMENT...]"
packages=busybox-static,ca-certificates,containerd,containernetworking-plugins,curl,dbus,docker-buildx,docker-cli
packages+=,docker.io,iproute2,iptables,kmod,procps,runc,sudo,systemd
release=${1:?$usage}
suite=${release%-*}
root=$PWD/.cache/debian/$release
# Those that debootstrap cannot install: it does not resolve all of their dependencies.
more=()
case $release in
  bookworm) packages=${packages/docker-buildx,docker-cli,docker.io,/} ;;
  trixie | forky) ;;
  forky-go) more=(docker-registry gcc golang-github-containerd-containerd-dev golang-go libc6-dev lsof openssl pkg-config) ;;
  forky-lintian) more=(lintian) ;;
  *) die "$usage" ;;
esac
wanted=("$packages" "${more[@]}")

# A release that was installed with other packages is installed again.
is_installed() { [[ -d $root && $(cat "$root.packages" 2>/dev/null) == "${wanted[*]}" ]]; }

install_release() {
  local scripts=/usr/share/debootstrap/scripts partial=$root.partial mirror
  command -v debootstrap >/dev/null || die "debootstrap is missing: run scripts/setup.sh debian"
  # An older debootstrap has no script for a newer release; the one for sid works.
  local script=$suite
  [[ -e $scripts/$suite ]] || script=sid
  mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
  say "installing Debian $release with its container engines into .cache (a few minutes, once)"
  rm -rf "$partial" "$root"
  mkdir -p "$partial"
  debootstrap --variant=minbase "--include=$packages" "$suite" "$partial" "$mirror" "$scripts/$script" \
    >"$root.log" 2>&1 || {
    tail -n 20 "$root.log" >&2
    die "debootstrap failed; its log is $root.log"
  }
  [[ ${#more[@]} -eq 0 ]] || install_more "$partial" >>"$root.log" 2>&1 || {
    tail -n 20 "$root.log" >&2
    die "apt-get failed; its log is $root.log"
  }
  mv "$partial" "$root"
  echo "${wanted[*]}" >"$root.packages"
}

# install_more ROOT: adds the packages that debootstrap cannot install. The release may be
# older than its index allows.
install_more() {
  # shellcheck disable=SC2016 # The inner bash expands them.
  unshare --mount --propagation private bash -c 'mount -t proc proc "$0/proc" && mount --bind /dev "$0/dev" &&
    apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Check-Valid-Until=false) &&
    chroot "$0" "${apt[@]}" update && chroot "$0" "${apt[@]}" install --yes --no-install-recommends "$@"' \
    "$1" "${more[@]}"
}

# Runs as the first process of the namespaces: it reaps orphans, and its end ends
# everything in them.
enter() {
  local repository=$PWD directory
  mount -t tmpfs tmpfs /mnt
  mkdir /mnt/upper /mnt/work /mnt/root
  mount -t overlay overlay -o "lowerdir=$root,upperdir=/mnt/upper,workdir=/mnt/work" /mnt/root
  cd /mnt/root
  mount -t proc proc proc
  mount -t sysfs sysfs sys
  mount --rbind /sys/fs/cgroup sys/fs/cgroup
  mount --rbind /dev dev
  for directory in run tmp var/lib/docker var/lib/containerd; do
    mkdir -p "$directory"
    mount -t tmpfs tmpfs "$directory"
  done
  mkdir -p "./$repository" old
  mount --bind "$repository" "./$repository"
  pivot_root . old
  umount --lazy old
  cd "$repository"
  export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
  ip link set lo up
  hostname debian
  local code=0
  "$@" || code=$?
  exit "$code"
}

# Set below, for this script's second run, and read by the tests.
if [[ ${SSR_DEBIAN_RELEASE:-} == "$release" ]]; then
  enter "${@:2}"
fi
[[ $# -gt 1 ]] || die "$usage"
[[ $EUID -eq 0 ]] || die "run this as root: it creates namespaces and mounts"
is_installed || install_release
SSR_DEBIAN_RELEASE=$release exec unshare --mount --net --pid --uts --ipc --fork --kill-child \
  --propagation private "$0" "$@"
