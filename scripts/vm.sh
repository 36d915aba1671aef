#!/usr/bin/env bash
# Runs a command in a virtual machine whose kernel has cgroup v2 only, in a Debian
# release with a current containerd. This repository is mounted at its usual path. For
# tests that a host with cgroup v1 cannot run:
#
#   scripts/vm.sh [--systemd|--engines] COMMAND [ARGUMENT...]
#
# The first process is a shell that runs the command; with --systemd it is systemd, as on
# an installed machine, and the command is a service. With --engines, the release's containerd
# and Docker run, too, as services.
#
# The machine is emulated, and about ten times slower than the host.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "vm: $*" >&2; }
die() {
  say "$*"
  exit 1
}

init=shell engines=''
case ${1:-} in
  --systemd) init=systemd ;;
  --engines) init=systemd engines=yes ;;
esac
[[ $init == shell ]] || shift
[[ $# -gt 0 ]] || die "usage: scripts/vm.sh [--systemd|--engines] COMMAND [ARGUMENT...]"
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

# Lists the modules' dependencies, as installing the kernel does.
describe_modules() {
  local version
  for version in "$kernel"/lib/modules/*; do
    [[ -e $version/modules.dep ]] || depmod --basedir "$kernel" "$(basename "$version")"
  done
}

# make_initramfs DIRECTORY: the initial root filesystem. It mounts the others and
# switches to an overlay on top of the Debian release.
make_initramfs() {
  local directory=$1 module
  mkdir -p "$directory"/{bin,dev,modules,lower,new,system,upper}
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
cp -a /system/. /new
exec switch_root /new /exchange/init
INIT
  chmod +x "$directory/init"
}

# make_shell_init FILE: the machine's first process if that is a shell.
make_shell_init() {
  cat >"$1" <<'INIT'
#!/bin/bash
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo "+cpu +cpuset +io +memory +pids" >/sys/fs/cgroup/cgroup.subtree_control
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /run
busybox ip link set lo up
hostname vm
exec /bin/bash /exchange/session
INIT
}

# make_systemd_init FILE SYSTEM: the machine's first process if that is systemd, and the
# files that this adds to the Debian release: the command's service, and links that keep
# the machine from starting what it has no use for.
make_systemd_init() {
  local units=$2/etc/systemd/system unit
  cat >"$1" <<'INIT'
#!/bin/bash
exec /lib/systemd/systemd --unit=session.service --show-status=no --log-target=null
INIT
  mkdir -p "$units"
  if [[ -z $engines ]]; then
    for unit in containerd.service docker.service docker.socket; do ln -s /dev/null "$units/$unit"; done
  fi
  for unit in systemd-{firstboot,journald,journal-flush,udevd,udev-trigger,tpm2-setup-early}; do
    ln -s /dev/null "$units/$unit.service"
  done
  for unit in {systemd-journald{,-dev-log,-audit},systemd-udevd-{control,kernel,varlink}}.socket \
    modprobe@{configfs,drm,efi_pstore,fuse}.service {dev-hugepages,dev-mqueue}.mount \
    sys-{fs-fuse-connections,kernel-{config,debug,tracing}}.mount; do
    ln -s /dev/null "$units/$unit"
  done
  # Commands make cgroups of their own, below the root, and must not lose them.
  cat >"$units/session.service" <<'UNIT'
[Unit]
Wants=dbus.socket
After=dbus.socket basic.target
[Service]
Type=oneshot
Delegate=yes
OOMPolicy=continue
TasksMax=infinity
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
ExecStart=/bin/bash /exchange/session
UNIT
  echo vm >"$2/etc/hostname"
  echo 127.0.0.1 localhost vm >"$2/etc/hosts"
}

# make_session FILE COMMAND...: the script that runs the command and ends the machine.
make_session() {
  local session=$1
  shift
  cat >"$session" <<'SESSION'
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
for directory in /tmp /var/lib/containerd; do
  mkdir -p "$directory"
  mountpoint -q "$directory" || mount -t tmpfs tmpfs "$directory"
done
SESSION
  {
    # After the file systems above, one of which the repository may lie below.
    printf 'mkdir -p %q && mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose repository %q\n' "$PWD" "$PWD"
    printf 'cd %q\nexport SSR_DEBIAN_RELEASE=%q SSR_TEST_RUNTIME=%q\n' "$PWD" "$release" "${SSR_TEST_RUNTIME:-io.containerd.ssr.v1}"
    if [[ -n $engines ]]; then
      # Docker loads what its network needs.
      printf 'ln -sfn %q /usr/lib/modules\n' "$kernel/lib/modules"
      echo 'systemctl start containerd docker'
    fi
    printf '%q ' "$@"
    printf '\necho $? >/exchange/code\nsync\nbusybox poweroff -f\n'
  } >>"$session"
}

scripts/in-debian.sh "$release" true
[[ -d $kernel ]] || get_kernel
[[ -z $engines ]] || describe_modules
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/exchange"
make_initramfs "$work/initramfs"
case $init in
  shell) make_shell_init "$work/exchange/init" ;;
  systemd) make_systemd_init "$work/exchange/init" "$work/initramfs/system" ;;
esac
chmod +x "$work/exchange/init"
(cd "$work/initramfs" && find . | cpio --quiet --create --format newc | gzip) >"$work/initramfs.gz"
make_session "$work/exchange/session" "$@"
say "starting a virtual machine with cgroup v2"
share() { echo "local,path=$1,mount_tag=$2,security_model=none,$3"; }
timeout 3600 qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 3072 -nic none \
  -kernel "$kernel"/boot/vmlinuz-* -initrd "$work/initramfs.gz" -append "console=ttyS0 quiet loglevel=1 panic=-1 TERM=dumb" \
  -virtfs "$(share "$root" release readonly=on)" -virtfs "$(share "$PWD" repository multidevs=remap)" \
  -virtfs "$(share "$work/exchange" exchange multidevs=remap)" \
  -display none -vga none -monitor none -serial stdio -no-reboot </dev/null
[[ -s $work/exchange/code ]] || die "the virtual machine ended before the command did"
exit "$(cat "$work/exchange/code")"
