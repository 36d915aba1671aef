#!/usr/bin/env bash
# Tests the tarball's install.sh and the Debian package, with the program for this machine that is in
# DIRECTORY under its two names:
#
#   scripts/test-packages.sh [DIRECTORY]                  (target/release)
#
# As root, after scripts/setup.sh debian. The package lives in roots of Debian 12, 13 and forky, which
# are not changed (scripts/in-debian.sh).
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "test-packages: $*" >&2; }
die() {
  say "$*"
  exit 1
}

directory=$(realpath "${1:-target/release}")
arch=$(dpkg --print-architecture)
[[ -x $directory/ssr ]] || die "$directory/ssr is missing: run make build first"
[[ $EUID -eq 0 ]] || die "run this as root: it enters other Debian releases"
command -v busybox >/dev/null || die "busybox is missing: run scripts/setup.sh containerd"
# Below the repository, which is what a release's root sees.
mkdir -p target
work=$(mktemp --directory "$PWD/target/test-packages.XXXXXX")
server=''
trap '[[ -z $server ]] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT

# files DIRECTORY: kind, mode and path of all in it, and what is in the files.
files() { (cd "$1" && find . -mindepth 1 -printf '%y %m %p %l\n' | LC_ALL=C sort && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum); }

# equal FILE FILE WHAT
equal() { diff "$1" "$2" >&2 || die "$3"; }

tarball_is_as_make_install() {
  local shell
  mkdir -p "$work/unpacked"
  tar --create --directory "$work" tree | tar --extract --directory "$work/unpacked"
  make --silent install RELEASE="$directory" DESTDIR="$work/make" >/dev/null
  files "$work/make" >"$work/expected"
  # The shells of Debian and of small systems.
  for shell in dash "busybox sh"; do
    # shellcheck disable=SC2086 # Two words.
    DESTDIR="$work/script" $shell "$work/unpacked/tree/install.sh" >"$work/output"
    files "$work/script" >"$work/installed"
    equal "$work/expected" "$work/installed" "make install and install.sh differ"
    # It names all that it has changed, and changes nothing the second time.
    [[ $(grep -c '^installed ' "$work/output") -eq $(find "$work/script" ! -type d | wc -l) ]] ||
      die "install.sh does not name each file: $(cat "$work/output")"
    # shellcheck disable=SC2086
    ! DESTDIR="$work/script" $shell "$work/unpacked/tree/install.sh" | grep -E '^(installed|replaced|removed) ' >&2 ||
      die "install.sh changes what is there already"
    # shellcheck disable=SC2086
    DESTDIR="$work/script" $shell "$work/unpacked/tree/install.sh" --uninstall >/dev/null
    # Of directories, those that every system has.
    (cd "$work/script" && find . -mindepth 1 | LC_ALL=C sort) >"$work/left"
    printf './%s\n' usr usr/local usr/local/bin usr/local/lib usr/local/share usr/local/share/man >"$work/expected-left"
    equal "$work/expected-left" "$work/left" "install.sh --uninstall leaves something"
    rm -r "$work/script"
  done
  make --silent uninstall RELEASE="$directory" DESTDIR="$work/make" >/dev/null
  [[ -z $(find "$work/make" ! -type d) ]] || die "make uninstall leaves files"
  say "ok: install.sh installs what make install does, under two shells, and removes all of it"
}

another_prefix_is_in_the_units() {
  DESTDIR="$work/opt" PREFIX=/opt/ssr "$work/tree/install.sh" >/dev/null
  [[ $(grep -c /opt/ssr/bin/ssr "$work/opt/opt/ssr/lib/systemd/system/ssr@.service") -eq 2 ]] ||
    die "the unit does not name the program below PREFIX"
  # The engines' configuration needs the program to be put back.
  mkdir -p "$work/opt/var/lib/containerd-shim-ssr/node"
  echo '{"files":{}}' >"$work/opt/var/lib/containerd-shim-ssr/node/record.json"
  ! DESTDIR="$work/opt" PREFIX=/opt/ssr "$work/tree/install.sh" --uninstall 2>"$work/error" ||
    die "install.sh --uninstall leaves engines that name a missing shim"
  grep -q 'ssr node remove' "$work/error" || die "it does not say how to go on: $(cat "$work/error")"
  [[ -x $work/opt/opt/ssr/bin/ssr ]] || die "it has removed something before it refused"
  say "ok: units name the program below PREFIX, and a configured shim is not removed"
}

# serve PROGRAM: starts a server, which is at $url.
serve() {
  url=http://127.0.0.1:$((20000 + RANDOM % 20000))
  HOME=$work "$1" serve --listen "${url#http://}" "$work/ssr.wasm" 2>"$work/server.log" &
  server=$!
}

answers() {
  curl --silent --retry 60 --retry-delay 1 --retry-connrefused "$url/" | grep -q 'hello from a package' ||
    die "$1: $(cat "$work/server.log")"
}

a_program_that_runs_is_replaced_as_a_whole() {
  local ssr=$work/live/usr/local/bin/ssr
  DESTDIR="$work/live" "$work/tree/install.sh" >/dev/null
  serve "$ssr"
  answers "ssr serve does not answer"
  # Another release: other bytes.
  cp -r "$work/tree" "$work/newer"
  echo >>"$work/newer/bin/containerd-shim-ssr-v1"
  DESTDIR="$work/live" "$work/newer/install.sh" >"$work/output"
  grep -qx "replaced $work/live/usr/local/bin/containerd-shim-ssr-v1" "$work/output" ||
    die "the program was not replaced: $(cat "$work/output")"
  cmp -s "/proc/$server/exe" "$work/tree/bin/containerd-shim-ssr-v1" || die "the file of a running program was changed"
  answers "ssr serve stops answering when it is replaced"
  kill "$server"
  wait "$server" || die "ssr serve fails on SIGTERM"
  server=''
  say "ok: a program that runs keeps its file"
}

packages_are_reproducible() {
  local again
  package=$(scripts/deb.sh "$arch" "$work/tree" "$work/new")
  cp -r "$work/tree" "$work/copy"
  again=$(umask 077 && scripts/deb.sh "$arch" "$work/copy" "$work/again")
  cmp "$package" "$again" || die "a package that is made twice differs"
  # The others are not compared: quickly.
  export DPKG_DEB_COMPRESSOR_LEVEL=0
  older=$(scripts/deb.sh "$arch" "$work/tree" "$work/old" 0.0.1)
  # One name, two processors: the version tells them apart, and apt takes what runs on both.
  local version7 version6
  version7=$(dpkg-deb --field "$(scripts/deb.sh armv7 "$work/tree" "$work/arm")" Version)
  version6=$(dpkg-deb --field "$(scripts/deb.sh armv6 "$work/tree" "$work/arm")" Version)
  dpkg --compare-versions "$version7" lt "$version6" || die "apt would take $version7 before $version6"
  say "ok: the package is reproducible, $(($(stat --format=%s "$package") / 1024)) KiB"
}

scripts/stage.sh "$directory/ssr" "$directory" "$work/tree"
echo "export default { fetch: () => new Response('hello from a package') }" >"$work/page.js"
"$directory/ssr" build "$work/page.js" -o "$work/ssr.wasm" >&2
mkdir "$work/assets"
"$directory/ssr" image --wasm "$work/ssr.wasm" --static "$work/assets" --tag site -o "$work/site.tar" >&2

tarball_is_as_make_install
another_prefix_is_in_the_units
a_program_that_runs_is_replaced_as_a_whole
packages_are_reproducible
scripts/in-debian.sh forky-lintian lintian --version >&2
# Those for ARM have no program for ARM here, to which lintian would object.
scripts/in-debian.sh forky-lintian lintian --fail-on error,warning --allow-root --tag-display-limit 0 "$package" ||
  die "lintian objects to $(basename "$package")"
say "ok: lintian has no objections"
for release in bookworm trixie forky; do
  scripts/in-debian.sh "$release" scripts/test-package-life.sh "$older" "$package" "$work/ssr.wasm" "$work/site.tar" ||
    die "the package fails in $release"
done
say "all passed"
