#!/usr/bin/env bash
# Runs a command in a virtual machine whose kernel has cgroup v2 only, in a Debian
# release with a current containerd. This repository is mounted at its usual path. For
# tests that a host with cgroup v1 cannot run:
#
#   scripts/vm.sh COMMAND [ARGUMENT...]
#
# The machine is emulated, and about ten times slower than the host.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "vm: $*" >&2; }
die() {
  say "$*"
  exit 1
}

[[ $# -gt 0 ]] || die "usage: scripts/vm.sh COMMAND [ARGUMENT...]"
[[ $(uname -m) == x86_64 ]] || die "the virtual machine is x86-64 and runs binaries of the host: this host is $(uname -m)"
[[ $EUID -eq 0 ]] || die "run this as root: it reads a Debian root filesystem"
command -v qemu-system-x86_64 >/dev/null || die "qemu is missing: run scripts/setup.sh vm"
release=forky
root=$PWD/.cache/debian/$release
kernel=$PWD/.cache/kernel
# In the order of their dependencies.
modules=(virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci
  netfs fscache 9pnet 9pnet_virtio 9p overlay)

# Downloads Debian's kernel and unpacks it.
get_kernel() {
  local package partial=$kernel.partial
  package=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image-[0-9]/ { print $2; exit }')
  [[ -n $package ]] || die "apt does not know linux-image-amd64: run apt-get update"
  say "downloading $package into .cache (once)"
  rm -rf "$partial" "$kernel"
  mkdir -p "$partial"
  (cd "$partial" && apt-get -qq -o APT::Sandbox::User=root download "$package" && dpkg-deb -x ./*.deb .) >&2
  rm "$partial"/*.deb
  mv "$partial" "$kernel"
}

# make_initramfs DIRECTORY: the initial root filesystem. It mounts the others and
# switches to an overlay on top of the Debian release.
make_initramfs() {
  local directory=$1 module
  mkdir -p "$directory"/{bin,dev,modules,lower,new,upper}
  cp /bin/busybox "$directory/bin"
  for module in "${modules[@]}"; do
    find "$kernel/lib/modules" -name "$module.ko" -exec cp {} "$directory/modules" \;
  done
  cat >"$directory/init" <<INIT
#!/bin/busybox sh
set -e
export PATH=/bin
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
for module in ${modules[*]}; do insmod /modules/\$module.ko; done
options=trans=virtio,version=9p2000.L,msize=512000
mount -t 9p -o \$options,ro,cache=loose release /lower
mount -t tmpfs tmpfs /upper
mkdir /upper/files /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /new
mkdir /new/exchange
mount -t 9p -o \$options exchange /new/exchange
exec switch_root /new /bin/bash /exchange/session
INIT
  chmod +x "$directory/init"
}

# make_session FILE COMMAND...: the script that runs as the machine's first process.
make_session() {
  local session=$1
  shift
  cat >"$session" <<'SESSION'
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo "+cpu +cpuset +io +memory +pids" >/sys/fs/cgroup/cgroup.subtree_control
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
for directory in /run /tmp /var/lib/containerd; do mkdir -p "$directory" && mount -t tmpfs tmpfs "$directory"; done
busybox ip link set lo up
hostname vm
SESSION
  {
    # After the file systems above, one of which the repository may lie below.
    printf 'mkdir -p %q && mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose repository %q\n' "$PWD" "$PWD"
    printf 'cd %q\nexport SSR_DEBIAN_RELEASE=%q SSR_TEST_RUNTIME=%q\n' "$PWD" "$release" "${SSR_TEST_RUNTIME:-io.containerd.ssr.v1}"
    printf '%q ' "$@"
    printf '\necho $? >/exchange/code\nsync\nbusybox poweroff -f\n'
  } >>"$session"
}

scripts/in-debian.sh "$release" true
[[ -d $kernel ]] || get_kernel
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/exchange"
make_initramfs "$work/initramfs"
(cd "$work/initramfs" && find . | cpio --quiet --create --format newc | gzip) >"$work/initramfs.gz"
make_session "$work/exchange/session" "$@"
say "starting a virtual machine with cgroup v2"
share() { echo "local,path=$1,mount_tag=$2,security_model=none,$3"; }
timeout 1800 qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 3072 -nic none \
  -kernel "$kernel"/boot/vmlinuz-* -initrd "$work/initramfs.gz" -append "console=ttyS0 quiet loglevel=1 panic=-1" \
  -virtfs "$(share "$root" release readonly=on)" -virtfs "$(share "$PWD" repository multidevs=remap)" \
  -virtfs "$(share "$work/exchange" exchange multidevs=remap)" \
  -display none -vga none -monitor none -serial stdio -no-reboot </dev/null
[[ -s $work/exchange/code ]] || die "the virtual machine ended before the command did"
exit "$(cat "$work/exchange/code")"
