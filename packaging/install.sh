#!/bin/sh
# Installs ssr and the shim from the directory that this script is in, as the tarball has it:
#
#   sudo ./install.sh                  below /usr/local
#   sudo ./install.sh --uninstall      removes the same files again
#
# PREFIX names another directory than /usr/local, and DESTDIR one that is taken for /, as for
# `make install`, which calls this script (UNDO is what undoes it then). Whatever is below bin, lib
# and share here is installed by the same path below PREFIX. A file is replaced as a whole: what runs
# keeps the old one.
set -eu
umask 022

PREFIX=${PREFIX:-/usr/local}
DESTDIR=${DESTDIR:-}
here=$(cd "$(dirname "$0")" && pwd)
root=$DESTDIR$PREFIX
new='' units_changed=''

die() {
  echo "install.sh: $*" >&2
  exit 1
}

# list TEST...: what find finds below bin, lib and share, by its path there.
list() { (cd "$here" && find bin lib share "$@" | LC_ALL=C sort); }

changed() {
  echo "$1"
  case $1 in *.service | *.socket) units_changed=yes ;; esac
}

# install_file PATH: puts one file or link in its place, if it is not there already.
install_file() {
  from=$here/$1 to=$root/$1
  mkdir -p "${to%/*}"
  new=${to%/*}/.${to##*/}.new
  rm -f "$new"
  was=installed
  if [ -e "$to" ] || [ -h "$to" ]; then was=replaced; fi
  if [ -h "$from" ]; then
    ln -s "$(readlink "$from")" "$new"
    if [ -h "$to" ] && [ "$(readlink "$to")" = "$(readlink "$new")" ]; then was=''; fi
  else
    case $1 in
      # Units name the program by its path.
      lib/systemd/*) sed "s,/usr/local/bin/,$PREFIX/bin/," "$from" >"$new" ;;
      *) cp "$from" "$new" ;;
    esac
    mode=644
    if [ -x "$from" ]; then mode=755; fi
    chmod "$mode" "$new"
    if [ -f "$to" ] && [ ! -h "$to" ] && cmp -s "$new" "$to"; then
      chmod "$mode" "$to"
      was=''
    fi
  fi
  if [ -z "$was" ]; then
    rm "$new"
  else
    mv -f "$new" "$to"
    changed "$was $to"
  fi
  new=''
}

remove_file() {
  if [ -e "$root/$1" ] || [ -h "$root/$1" ]; then
    rm "$root/$1"
    changed "removed $root/$1"
  fi
}

# remove_directory PATH: unless it has something else, or every system has it.
remove_directory() {
  case $1 in bin | lib | share | share/man) return ;; esac
  if rmdir "$root/$1" 2>/dev/null; then changed "removed $root/$1"; fi
}

# What systemd knows of units is what they were when it read them.
reload_units() {
  if [ -n "$units_changed" ] && [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    echo "systemd has read the units again; no site was restarted"
  fi
}

case $PREFIX in /*) ;; *) die "PREFIX must be an absolute path: '$PREFIX'" ;; esac
files=$(list ! -type d)
case $files in *bin/containerd-shim-ssr-v1*) ;; *) die "$here is not what the tarball has" ;; esac
case $#:${1:-} in
  0:)
    # The tarball of another processor is a mistake, unless it is meant for another machine.
    [ -n "$DESTDIR" ] || "$here/bin/ssr" --version >/dev/null ||
      die "$here/bin/ssr does not run here: take the tarball for this processor, $(uname -m)"
    trap '[ -z "$new" ] || rm -f "$new"' EXIT
    for path in $files; do install_file "$path"; done
    reload_units
    echo "to undo this: PREFIX='$PREFIX' DESTDIR='$DESTDIR' ${UNDO:-$0 --uninstall}"
    ;;
  1:--uninstall)
    # Only ssr can put these files back.
    [ ! -e "$DESTDIR/var/lib/containerd-shim-ssr/node/record.json" ] ||
      die "container engines are configured to use the shim: first run $PREFIX/bin/ssr node remove --restart"
    for path in $files; do remove_file "$path"; done
    for path in $(list -type d | sort -r); do remove_directory "$path"; done
    reload_units
    ;;
  *) die "usage: install.sh [--uninstall]" ;;
esac
