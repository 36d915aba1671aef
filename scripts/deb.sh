#!/usr/bin/env bash
# Makes a Debian package, and prints its path:
#
#   scripts/deb.sh amd64|arm64|armv7|armv6 TREE DIRECTORY [VERSION]
#
# TREE is what scripts/stage.sh has laid out, or an unpacked tarball. The same tree gives the same
# bytes, whoever packs it (scripts/source-date.sh).
#
# dpkg-deb and nothing above it: debhelper wants a source package that it builds, cargo-deb a build by
# cargo, and here the program has been built by zig for another machine, and its files lie in their
# places. lintian tells whether they do (scripts/test-packages.sh).
#
# Debian has one name, armhf, for ARMv7 and for Raspberry Pi OS on ARMv6. The latter's package has the
# version suffix that Raspbian's own have, +rpi1: in a repository with both, apt takes that one, which
# runs on either.
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
  echo "deb: $*" >&2
  exit 1
}

[[ $# -eq 3 || $# -eq 4 ]] || die "usage: scripts/deb.sh amd64|arm64|armv7|armv6 TREE DIRECTORY [VERSION]"
arch=$1 tree=$2 directory=$3
# Debian orders 1.0~rc.1 before 1.0, as Cargo does 1.0-rc.1.
version=${4:-$(scripts/version.sh)}
version=${version/-/\~}
suffix=''
case $arch in
  amd64 | arm64) architecture=$arch ;;
  armv7) architecture=armhf ;;
  armv6) architecture=armhf suffix=+rpi1 ;;
  *) die "unknown architecture $arch: amd64, arm64, armv7 or armv6" ;;
esac
version+=$suffix
# There is no address yet (SECURITY.md); whoever publishes packages sets these as for Debian's own tools.
maintainer="${DEBFULLNAME:-containerd-shim-ssr maintainers} <${DEBEMAIL:-maintainers@containerd-shim-ssr.invalid}>"
SOURCE_DATE_EPOCH=$(scripts/source-date.sh)
# xz writes other bytes with several threads.
export SOURCE_DATE_EPOCH DPKG_DEB_THREADS_MAX=1

umask 022
work=$(mktemp --directory)
trap 'rm -rf "$work"' EXIT
root=$work/root
share=$root/usr/share
doc=$share/doc/containerd-shim-ssr

# changelog: this release's part of CHANGELOG.md in Debian's form.
changelog() {
  echo "containerd-shim-ssr ($version) unstable; urgency=medium"
  echo
  # Points, one a line, and then folded; the first part is this release's.
  awk '/^## /{ if (part++) exit; next }
    /^- / { if (point) print point; point = substr($0, 3); next }
    /^  / { sub(/^ +/, ""); point = point " " $0; next }
    { if (point) print point; point = "" }
    END { if (point) print point }' CHANGELOG.md |
    while IFS= read -r point; do
      fmt --width=72 <<<"$point" | sed '1s/^/  * /; 2,$s/^/    /'
    done
  echo
  echo " -- $maintainer  $(LC_ALL=C date --utc --rfc-email --date="@$SOURCE_DATE_EPOCH")"
}

mkdir -p "$root"
DESTDIR=$root PREFIX=/usr "$tree/install.sh" >/dev/null
# Where Debian's zsh looks for packages' completions.
mkdir "$share/zsh/vendor-completions"
mv "$share/zsh/site-functions/_ssr" "$share/zsh/vendor-completions/_ssr"
rmdir "$share/zsh/site-functions"
find "$share/man" -type f -exec gzip --no-name --best {} +
install -D --mode=644 packaging/debian/copyright "$doc/copyright"
changelog | gzip --no-name --best >"$doc/changelog.gz"
install -D --mode=644 packaging/debian/lintian-overrides "$share/lintian/overrides/containerd-shim-ssr"

mkdir "$root/DEBIAN"
install --mode=755 packaging/debian/postinst packaging/debian/prerm packaging/debian/postrm "$root/DEBIAN"
[[ $arch != armv7 ]] || install --mode=755 packaging/debian/preinst "$root/DEBIAN"
size=$(du --summarize --apparent-size --block-size=1024 --exclude=DEBIAN "$root" | cut -f 1)
sed "s/@VERSION@/$version/; s/@ARCHITECTURE@/$architecture/; s/@MAINTAINER@/$maintainer/; s/@SIZE@/$size/" \
  packaging/debian/control >"$root/DEBIAN/control"
(cd "$root" && find usr -type f | LC_ALL=C sort | xargs -d '\n' md5sum >DEBIAN/md5sums)
find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

package=$directory/containerd-shim-ssr_${version}_$architecture.deb
mkdir -p "$directory"
dpkg-deb --root-owner-group -Zxz --build "$root" "$package" >&2
echo "$package"
