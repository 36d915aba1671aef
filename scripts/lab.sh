#!/usr/bin/env bash
# Runs a command where containerd and Docker come from another Debian release,
# in namespaces of its own that end with the command; this repository is there,
# writable and in its place:
#
#   scripts/lab.sh trixie|forky COMMAND [ARGUMENT...]
#
# The release is kept in .cache/debian and left as it is: what is written to it
# is gone at the end. No engine runs yet: the tests start theirs.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "lab: $*" >&2; }
die() {
  say "$*"
  exit 1
}

usage="usage: scripts/lab.sh trixie|forky COMMAND [ARGUMENT...]"
packages=busybox-static,ca-certificates,containerd,containernetworking-plugins,docker-buildx,docker-cli,docker.io
packages+=,iproute2,iptables,procps,runc
release=${1:?$usage}
root=$PWD/.cache/debian/$release

# The release is made anew where it was made for other packages.
is_made() { [[ -d $root && $(cat "$root.packages" 2>/dev/null) == "$packages" ]]; }

make_root() {
  local scripts=/usr/share/debootstrap/scripts partial=$root.partial mirror
  command -v debootstrap >/dev/null || die "debootstrap is missing: run scripts/setup.sh lab"
  # Older debootstraps do not know newer releases, which are made like sid.
  local script=$release
  [[ -e $scripts/$release ]] || script=sid
  mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
  say "installing Debian $release with containerd and Docker into .cache (a few minutes, once)"
  rm -rf "$partial" "$root"
  mkdir -p "$partial"
  debootstrap --variant=minbase "--include=$packages" "$release" "$partial" "$mirror" "$scripts/$script" \
    >"$root.log" 2>&1 || {
    tail -n 20 "$root.log" >&2
    die "debootstrap failed; its log is $root.log"
  }
  mv "$partial" "$root"
  echo "$packages" >"$root.packages"
}

# Runs as the first process of the namespaces: it collects orphans, and with it
# everything ends.
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
  hostname lab
  local code=0
  "$@" || code=$?
  exit "$code"
}

if [[ ${SSR_LAB:-} == "$release" ]]; then
  enter "${@:2}"
fi
[[ $release == trixie || $release == forky ]] || die "$usage"
[[ $# -gt 1 ]] || die "$usage"
[[ $EUID -eq 0 ]] || die "run this as root: it makes namespaces and mounts"
is_made || make_root
SSR_LAB=$release exec unshare --mount --net --pid --uts --ipc --fork --kill-child --propagation private "$0" "$@"
