#!/usr/bin/env bash
# Builds a static libseccomp for musl and prints the directory that holds it:
#
#   scripts/libseccomp.sh x86_64|aarch64|arm|armv7|i686
#
# apt downloads and verifies Debian's source package, using separate package lists:
# the system's package sources are not changed.
set -euo pipefail
cd "$(dirname "$0")/.."

arch=${1:?usage: scripts/libseccomp.sh x86_64|aarch64|arm|armv7|i686}
case $arch in
  x86_64 | aarch64) host=$arch-linux-musl cc=(-target "$arch-linux-musl") ;;
  # ARMv6 and later, with hardware for floating point.
  arm) host=arm-linux-musleabihf cc=(-target arm-linux-musleabihf -mcpu=generic+v6+strict_align+vfp2-d32) ;;
  armv7) host=arm-linux-musleabihf cc=(-target arm-linux-musleabihf -mcpu=cortex_a7) ;;
  i686) host=i686-linux-musl cc=(-target x86-linux-musl) ;;
  *)
    echo "libseccomp: unknown architecture $arch: x86_64, aarch64, arm, armv7 or i686" >&2
    exit 1
    ;;
esac
cache=$PWD/.cache/libseccomp
out=$cache/$arch/lib

fetch() {
  local apt=$cache/apt
  mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$cache/source"
  # The system's mirrors, as deb-src.
  # shellcheck disable=SC2016 # apt expands the fields, not the shell
  apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(SUITE) $(COMPONENT) $(SIGNED_BY)' 'Created-By: Packages' |
    awk '($1 == "Debian" || $1 == "Ubuntu") && $4 == "main" {
      print "deb-src", ($5 ~ /^\// ? "[signed-by=" $5 "]" : ""), $2, $3, $4 }' |
    sort -u >"$apt/sources.list"
  if [[ ! -s $apt/sources.list ]]; then
    echo "libseccomp: apt has no package lists of a Debian or Ubuntu mirror: run apt-get update first" >&2
    exit 1
  fi
  local options=(-qq -o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt" -o APT::Sandbox::User=root)
  echo "libseccomp: downloading Debian's source package" >&2
  apt-get "${options[@]}" update >&2
  (cd "$cache/source" && apt-get "${options[@]}" source --download-only libseccomp >&2)
}

build() {
  local zig work jobs
  zig=$(scripts/zig-path.sh)
  jobs=$(nproc)
  work=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "rm -rf '$work'" EXIT
  tar --extract --file "$(ls "$cache"/source/libseccomp_*.orig.tar.gz)" --directory "$work" --strip-components=1
  echo "libseccomp: compiling for $arch" >&2
  # The package contains the generated table of system calls. It must be newer than
  # its sources, or make would generate it again, which needs gperf.
  touch "$work/src/syscalls.perf.c"
  (
    cd "$work"
    ./configure --host="$host" --prefix=/ --disable-shared --enable-static --disable-python \
      CC="$zig cc ${cc[*]}" AR="$zig ar" RANLIB="$zig ranlib" GPERF=true
    make --jobs="$jobs" -C include
    make --jobs="$jobs" -C src libseccomp.la
  ) >"$work/log" 2>&1 || {
    tail -n 30 "$work/log" >&2
    echo "libseccomp: the build failed" >&2
    exit 1
  }
  mkdir -p "$out"
  install -m 644 "$work/src/.libs/libseccomp.a" "$out/libseccomp.a"
}

if [[ ! -f $out/libseccomp.a ]]; then
  compgen -G "$cache/source/libseccomp_*.orig.tar.gz" >/dev/null || fetch
  build
fi
echo "$out"
