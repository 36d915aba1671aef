#!/usr/bin/env bash
# Boots an emulated board with 512 MB and cgroup v2, in Debian with containerd and runc, and talks
# to it on standard input and output, which are its serial console:
#
#   scripts/board.sh arm64|arm64-16k|armv7|armv6 DIRECTORY [--session FILE]
#
# The board's disk is new at each boot, and gone with it. The directory's files are in /files of it.
# Without a session, a shell is on the console, and `poweroff -f` ends the board; a session is a
# script for the board's shell that is there instead.
#
#   arm64      as a Pi Zero 2, 3 or 4 with a 64-bit system: Cortex-A53
#   arm64-16k  as a Pi 5, for which Raspberry Pi OS has pages of 16 KiB: Cortex-A76
#   armv7      as a Pi 2, or a Zero 2 with a 32-bit system: Cortex-A15
#   armv6      a Pi Zero or Zero W
#
# BOARD_APPEND is added to the kernel's command line (loglevel=7), and BOARD_TIMEOUT is the longest
# time in seconds that a board runs.
#
# Kernel and system come from Debian, once, into .cache/boards. How long something takes says
# nothing about a board's speed; sizes and memory do carry over.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "board: $*" >&2; }
die() {
  say "$*"
  exit 1
}

usage="usage: scripts/board.sh arm64|arm64-16k|armv7|armv6 DIRECTORY [--session FILE]"
board=${1:?$usage}
files=${2:?$usage}
session=''
if [[ ${3:-} == --session ]]; then
  session=${4:?$usage}
elif [[ $# -gt 2 ]]; then
  die "$usage"
fi
[[ -d $files ]] || die "there is no directory $files"

# The newest release of Debian that has the kernel and the system.
release=trixie
machine=(-M virt -smp 2 -m 512)
disk_device=(-device "virtio-blk-device,drive=disk")
disk_interface=none
disk=/dev/vda
append=''
dtb=''
case $board in
  arm64) architecture=arm64 kernel_package=linux-image-arm64 machine+=(-cpu cortex-a53) ;;
  # A Cortex-A53 has no pages of 16 KiB.
  arm64-16k) architecture=arm64 kernel_package=linux-image-arm64-16k machine+=(-cpu cortex-a76) ;;
  armv7) architecture=armhf kernel_package=linux-image-armmp machine+=(-cpu cortex-a15) ;;
  armv6)
    architecture=armel kernel_package=linux-image-rpi release=bookworm
    # Its processor has one core and its memory cannot be chosen.
    # Its timer misses what is due already, as the board's would: on a busy host the emulator's clock
    # must wait for the emulator. An instruction takes 2 ns.
    machine=(-M raspi0 -icount "shift=1")
    disk_device=()
    disk_interface=sd
    disk=/dev/mmcblk0
    # Of the board without radio, which is otherwise the same: a W's radio is at the serial port.
    dtb=bcm2835-rpi-zero.dtb
    # A device that qemu does not have.
    append=initcall_blacklist=bcm2835_power_driver_init
    ;;
  *) die "unknown board $board: arm64, arm64-16k, armv7 or armv6" ;;
esac
cache=$PWD/.cache/boards
# What scripts/setup.sh boards has put there, where the system's own is too old.
if [[ -d $cache/qemu ]]; then
  export PATH=$cache/qemu/usr/bin:$PATH
  QEMU_MODULE_DIR=$(echo "$cache"/qemu/usr/lib/*/qemu)
  export QEMU_MODULE_DIR
fi
emulator=qemu-system-arm
if [[ $architecture == arm64 ]]; then emulator=qemu-system-aarch64; fi
command -v "$emulator" >/dev/null || die "$emulator is missing: run scripts/setup.sh boards"
command -v mke2fs >/dev/null || die "mke2fs is missing: run scripts/setup.sh boards"

system=$cache/system-$architecture
kernel=$cache/kernel-$board
# In the order of their dependencies; those that a kernel has built in are left out.
modules=(crc32c_generic libcrc32c virtio virtio_ring virtio_mmio virtio_blk crc16 mbcache jbd2 ext4 overlay)

# download DIRECTORY PACKAGE...: downloads packages of the board's architecture and unpacks them.
download() {
  local directory=$1 package
  shift
  mkdir -p "$directory"
  DEBIAN_ARCHITECTURE=$architecture scripts/debian-apt.sh "$cache/apt-$architecture" "$release" download "$@"
  for package in "$cache/apt-$architecture"/*.deb; do
    dpkg-deb --extract "$package" "$directory"
    rm "$package"
  done
}

get_system() {
  local name partial=$system.partial
  say "downloading containerd and runc for $architecture from Debian $release into .cache (once)"
  rm -rf "$partial"
  download "$partial" containerd runc busybox-static perl-base libc6 libcrypt1 libseccomp2 libgcc-s1
  # Where a program's interpreter is.
  for name in bin sbin lib; do
    mkdir -p "$partial/usr/$name"
    if [[ -d $partial/$name ]]; then cp -a "$partial/$name/." "$partial/usr/$name"; fi
    rm -rf "${partial:?}/$name"
    ln -s "usr/$name" "$partial/$name"
  done
  rm -rf "${partial:?}"/{usr/share,etc} "$partial"/usr/bin/containerd-shim*
  mv "$partial" "$system"
}

get_kernel() {
  local module found partial=$kernel.partial
  say "downloading Debian's kernel $kernel_package into .cache (once)"
  rm -rf "$partial"
  # The package that this one depends on.
  download "$partial/package" "?reverse-depends(?exact-name($kernel_package))"
  mv "$partial"/package/boot/vmlinuz-* "$partial/vmlinuz"
  if [[ -n $dtb ]]; then find "$partial/package" -name "$dtb" -exec cp {} "$partial" \;; fi
  mkdir "$partial/modules"
  for module in "${modules[@]}"; do
    found=$(find "$partial/package" -name "$module.ko" -o -name "$module.ko.xz")
    case $found in
      '') ;;
      *.xz) xz --decompress --stdout "$found" >"$partial/modules/$module.ko" ;;
      *) cp "$found" "$partial/modules" ;;
    esac
  done
  rm -rf "$partial/package" "$kernel"
  mv "$partial" "$kernel"
}

# make_initramfs DIRECTORY: what finds the disk and goes on there.
make_initramfs() {
  local directory=$1
  mkdir -p "$directory"/{bin,dev,modules,root}
  cp "$system/bin/busybox" "$directory/bin"
  cp "$kernel"/modules/* "$directory/modules"
  cat >"$directory/init" <<INIT
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
for module in ${modules[*]}; do
  if [ -e /modules/\$module.ko ]; then insmod /modules/\$module.ko; fi
done
# A card takes its time.
for second in 1 2 3 4 5 6 7 8 9 10; do [ -b $disk ] || sleep 1; done
mount -t ext4 $disk /root || { dmesg | tail -n 30; poweroff -f; }
mount --move /dev /root/dev
exec switch_root /root /sbin/init
INIT
  chmod +x "$directory/init"
}

# make_root DIRECTORY: the system on the disk. busybox is its init process, which reaps, and
# starts containerd again when it ends, as systemd would.
make_root() {
  local directory=$1
  cp -a "$system" "$directory"
  mkdir -p "$directory"/{dev,etc/containerd,proc,root,run,sys,tmp,usr/local/bin,var/{cache,lib,log}}
  cp -a "$files" "$directory/files"
  ln -s ../bin/busybox "$directory/sbin/init"
  cat >"$directory/etc/rc" <<RC
#!/bin/busybox sh
/bin/busybox --install -s /usr/local/bin
export PATH=/usr/local/bin:/usr/bin:/usr/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for controller in cpu cpuset io memory pids; do
  echo +\$controller >/sys/fs/cgroup/cgroup.subtree_control
done 2>/dev/null
ip link set lo up
hostname board
date -s @$(date +%s) >/dev/null
RC
  # What ctr gives containers on the host's network.
  echo "127.0.0.1 localhost" >"$directory/etc/hosts"
  : >"$directory/etc/resolv.conf"
  cat >"$directory/etc/containerd/config.toml" <<'TOML'
version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.aufs"]
TOML
  cat >"$directory/etc/inittab" <<'INITTAB'
::sysinit:/etc/rc
::respawn:/etc/with-path containerd
ttyAMA0::respawn:/etc/with-path /etc/session
INITTAB
  cat >"$directory/etc/with-path" <<'SH'
#!/bin/busybox sh
export PATH=/files/bin:/usr/local/bin:/usr/bin:/usr/sbin HOME=/root
case $1 in containerd) exec containerd >>/var/log/containerd.log 2>&1 ;; esac
exec "$@"
SH
  if [[ -n $session ]]; then
    cp "$session" "$directory/etc/session"
  else
    printf '#!/bin/busybox sh\nexec sh -l\n' >"$directory/etc/session"
  fi
  chmod +x "$directory"/etc/{rc,with-path,session}
}

[[ -d $system ]] || get_system
[[ -e $kernel/$dtb ]] || get_kernel
work=$(mktemp -d "${TMPDIR:-/tmp}/ssr-board-XXXXXX")
trap 'rm -rf "$work"' EXIT
make_initramfs "$work/initramfs"
(cd "$work/initramfs" && find . | cpio --quiet --create --format newc | gzip) >"$work/initramfs.gz"
make_root "$work/root"
# A card's size is a power of two. What is not written takes no room.
truncate --size 2G "$work/disk"
mke2fs -q -t ext4 -d "$work/root" "$work/disk" >&2
# Open files, whose names are gone: whatever ends the emulator, nothing is left.
exec 8<>"$work/disk" 9<"$work/initramfs.gz"
rm -r "$work"
if [[ -n $dtb ]]; then machine+=(-dtb "$kernel/$dtb"); fi
exec timeout --foreground --kill-after 10 "${BOARD_TIMEOUT:-7200}" setpriv --pdeathsig KILL \
  "$emulator" "${machine[@]}" -nic none -kernel "$kernel/vmlinuz" -initrd /proc/self/fd/9 \
  -append "console=ttyAMA0 quiet loglevel=1 panic=-1 nowatchdog $append ${BOARD_APPEND:-}" \
  -drive "if=$disk_interface,id=disk,format=raw,file=/proc/self/fd/8,cache=unsafe" "${disk_device[@]}" \
  -display none -monitor none -serial stdio -no-reboot
