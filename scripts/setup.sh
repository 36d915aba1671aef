#!/usr/bin/env bash
# Installs what the given purposes need and this machine lacks:
#
#   scripts/setup.sh build|containerd|lint|browser|bench|registry|dist|debian|vm|boards|manifests|kubernetes...
#
# Debian packages come from apt (as root, or through sudo), Rust targets from rustup,
# npm packages from their lock files, zig and kubernetes-validate from PyPI and cargo-cyclonedx from
# crates.io into .cache, and Kubernetes from Debian's sources of it, into .cache/kubernetes.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "setup: $*" >&2; }
die() {
  say "$*"
  exit 1
}

# apt_packages PACKAGE...: installs the packages that are missing.
apt_packages() {
  local missing=() package
  command -v dpkg-query >/dev/null || die "this is neither Debian nor Ubuntu: install the equivalents of: $*"
  for package in "$@"; do
    [[ $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) == *" installed" ]] || missing+=("$package")
  done
  [[ ${#missing[@]} -eq 0 ]] && return
  local as_root=()
  if [[ $EUID -ne 0 ]]; then
    command -v sudo >/dev/null || die "run as root: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  say "installing ${missing[*]} (apt)"
  local log
  log=$(mktemp)
  local install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
  # An outdated index names packages that no longer exist.
  if ! { "${install[@]}" update && "${install[@]}" install --yes --no-install-recommends "${missing[@]}"; } \
    </dev/null >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    die "apt-get could not install ${missing[*]}"
  fi
  rm -f "$log"
}

# rust_targets TARGET...: adds the rustup targets that are missing.
rust_targets() {
  local installed target
  command -v rustup >/dev/null || die "rustup is missing: install it from https://rustup.rs"
  installed=$(rustup target list --installed)
  for target in "$@"; do
    grep -qx "$target" <<<"$installed" && continue
    say "adding the Rust target $target (rustup)"
    rustup --quiet target add "$target"
  done
}

# The compilers, and what the dependencies' build scripts call.
build() {
  command -v cargo >/dev/null || die "cargo is missing: install Rust from https://rustup.rs"
  command -v node >/dev/null || die "node is missing: install Node 20 or newer"
  apt_packages gcc libc6-dev libseccomp-dev patch protobuf-compiler libprotobuf-dev python3 python3-venv
  rust_targets wasm32-wasip1 wasm32-wasip2
  scripts/zig-path.sh >/dev/null
}

containerd() {
  apt_packages containerd runc busybox-static util-linux mount procps curl
}

# Clippy runs the dependencies' build scripts.
lint() {
  build
  apt_packages shellcheck
  npm_packages images/site
}

browser() {
  # The distribution's browser, instead of one that Playwright downloads.
  [[ -x /usr/bin/chromium ]] || apt_packages chromium
  apt_packages fonts-liberation
  npm_packages images/site tests/browser
}

bench() {
  command -v node >/dev/null || die "node is missing: install Node 20 or newer"
  rust_targets wasm32-wasip2
  # openssl depends on the one library of nginx that not every Debian system has.
  apt_packages debian-archive-keyring openssl libpcre2-8-0
  [[ -x .cache/nginx/usr/sbin/nginx ]] || unpack nginx .cache/nginx
}

# What `ssr push` is tested with.
registry() {
  apt_packages openssl
  [[ -x .cache/registry/usr/bin/docker-registry ]] || unpack docker-registry .cache/registry
}

# unpack PACKAGE DIRECTORY: unpacks a server of Debian's. Installing it would start it.
unpack() {
  local name=$1 package
  package=$(mktemp --directory)
  say "unpacking $name into $2 (apt)"
  # An outdated index names packages that no longer exist.
  (cd "$package" && { apt-get -qq download "$name" || { apt-get -qq update && apt-get -qq download "$name"; }; }) \
    >"$package/log" 2>&1 || {
    cat "$package/log" >&2
    die "apt-get could not download $name; run it as root"
  }
  mkdir -p "$2"
  dpkg-deb --extract "$package/$name"_*.deb "$2"
  rm -r "$package"
}

dist() {
  apt_packages make qemu-user-static binutils curl dpkg patch wabt
  rust_targets x86_64-unknown-linux-musl aarch64-unknown-linux-musl i686-unknown-linux-musl
  # What the standard library for 32-bit ARM is made of.
  rustup component list --installed | grep -qx rust-src || {
    say "adding the Rust component rust-src (rustup)"
    rustup --quiet component add rust-src
  }
  scripts/zig-path.sh >/dev/null
  scripts/cyclonedx-path.sh >/dev/null
}

vm() {
  apt_packages qemu-system-x86 busybox-static cpio kmod
}

# What scripts/board.sh boots boards with. Debian 12's emulator does not boot a Pi Zero reliably: it
# gets a newer one, beside its own, whose libraries that uses.
boards() {
  command -v node >/dev/null || die "node is missing: install Node 20 or newer"
  apt_packages qemu-system-arm cpio e2fsprogs util-linux xz-utils debian-archive-keyring
  local directory=.cache/boards/qemu package
  [[ $(qemu-system-arm --version) =~ version\ ([0-9]+) ]] || die "qemu-system-arm does not tell its version"
  if ((BASH_REMATCH[1] >= 10)) || [[ -d $directory ]]; then return; fi
  say "unpacking qemu of bookworm-backports into $directory (apt)"
  rm -rf "$directory.partial"
  mkdir -p "$directory.partial"
  scripts/debian-apt.sh "$directory.partial" bookworm-backports download qemu-system-arm qemu-system-common qemu-system-data
  for package in "$directory.partial"/*.deb; do
    dpkg-deb --extract "$package" "$directory.partial"
    rm "$package"
  done
  rm -r "$directory.partial/apt"
  mv "$directory.partial" "$directory"
}

debian() {
  apt_packages debootstrap debian-archive-keyring util-linux mount procps
}

# What renders and checks the manifests in k8s/.
manifests() {
  apt_packages debian-archive-keyring python3 python3-venv
  scripts/kubectl.sh >/dev/null
  scripts/kubernetes-validate.sh >/dev/null
}

# A Kubernetes to run them in.
kubernetes() {
  containerd
  manifests
  apt_packages containernetworking-plugins golang-go iproute2 iptables openssl socat util-linux
  scripts/kubernetes.sh >/dev/null
}

# npm_packages DIRECTORY...: installs the packages in their lock files.
npm_packages() {
  local directory
  for directory in "$@"; do
    [[ -d $directory/node_modules ]] && continue
    say "installing the npm packages of $directory"
    npm --prefix "$directory" ci --silent --no-audit --no-fund
  done
}

[[ $# -gt 0 ]] || die "usage: scripts/setup.sh build|containerd|lint|browser|bench|registry|dist|debian|vm|boards|manifests|kubernetes..."
for purpose in "$@"; do
  case $purpose in
    build | containerd | lint | browser | bench | registry | dist | debian | vm | boards | manifests | kubernetes) "$purpose" ;;
    *) die "unknown purpose $purpose: one of build, containerd, lint, browser, bench, registry, dist, debian, vm, boards, manifests, kubernetes" ;;
  esac
done
