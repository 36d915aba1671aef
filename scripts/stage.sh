#!/usr/bin/env bash
# Lays out what is installed, by the paths that it has below /usr/local, with the script that
# installs it:
#
#   scripts/stage.sh SSR DIRECTORY TREE
#
# DIRECTORY has the program under its two names; it may be for another machine. SSR is an `ssr` that
# runs here: it writes the man pages and completions. Tarballs, packages and `make install` are made
# of the tree.
set -euo pipefail
cd "$(dirname "$0")/.."
ssr=$1 directory=$2 tree=$3

umask 022
rm -rf "$tree"
mkdir -p "$tree/bin" "$tree/lib/systemd/system" "$tree/share/man/man8" "$tree/share/bash-completion/completions" \
  "$tree/share/zsh/site-functions" "$tree/share/fish/vendor_completions.d"
install -m 755 "$directory/containerd-shim-ssr-v1" "$tree/bin"
ln --symbolic containerd-shim-ssr-v1 "$tree/bin/ssr"
install -m 644 packaging/systemd/ssr@.service packaging/systemd/ssr@.socket "$tree/lib/systemd/system"
install -m 644 packaging/man/containerd-shim-ssr-v1.8 "$tree/share/man/man8"
"$ssr" man --dir "$tree/share/man/man1"
"$ssr" completions bash >"$tree/share/bash-completion/completions/ssr"
"$ssr" completions zsh >"$tree/share/zsh/site-functions/_ssr"
"$ssr" completions fish >"$tree/share/fish/vendor_completions.d/ssr.fish"
install -m 755 packaging/install.sh "$tree"
install -m 644 LICENSE README.md "$tree"
