#!/usr/bin/env bash
# Translates the engines of scripts/engine-releases.sh to C and compiles them for machines that
# wasmtime has no machine code for:
#
#   scripts/linked-engines.sh SSR RUST_TARGET [VERSION=FILE...]
#
# SSR is an `ssr` that runs here. Engines that are named besides are for tests. Prints the directory with the library and the list that
# wasm/build.rs links into a program (SSR_LINKED_ENGINES). Does nothing if it is newer than what it
# is made of.
set -euo pipefail
cd "$(dirname "$0")/.."
ssr=$1 target=$2
shift 2

say() { echo "linked engines: $*" >&2; }
die() {
  say "$*"
  exit 1
}

case $target in
  # One binary for every Raspberry Pi: ARM1176 and later.
  arm-unknown-linux-musleabihf) flags=(-target arm-linux-musleabihf -mcpu=generic+v6+strict_align+vfp2-d32 -fno-pic) ;;
  armv7-unknown-linux-musleabihf) flags=(-target arm-linux-musleabihf -mcpu=cortex_a7 -fno-pic) ;;
  i686-unknown-linux-musl) flags=(-target x86-linux-musl -mcpu=pentium4 -fno-pic) ;;
  # For tests: wasmtime's machine code is what this machine runs.
  x86_64-unknown-linux-gnu) flags=(-target x86_64-linux-gnu) ;;
  *) die "no engine is linked into programs for $target" ;;
esac
command -v wasm2c >/dev/null || die "wasm2c is missing: run scripts/setup.sh dist, or install Debian's wabt"

out=$PWD/target/linked-engines/$target
(($# == 0)) || out+=-test
mapfile -t engines < <(scripts/engine-releases.sh)
engines+=("$@")
sources=(wasm/linked scripts/linked-engines.sh scripts/engine-releases.sh "${engines[@]#*=}")
if [[ -f $out/engines.rs && -z $(find "${sources[@]}" -newer "$out/engines.rs" -type f -print -quit) ]]; then
  echo "$out"
  exit 0
fi

zig=$(scripts/zig-path.sh)
rm -rf "$out"
mkdir -p "$out"
compile() {
  "$zig" cc "${flags[@]}" -std=c11 -O2 -g0 -fno-sanitize=undefined -ffile-prefix-map="$out"=engine \
    -Iwasm/linked -I"$out" "$@"
}
objects=() list=() declared=()
for engine in "${engines[@]}"; do
  version=${engine%%=*} module=${engine#*=}
  digest=$("$ssr" engine code "$module" --output "$out/code.wasm")
  name=engine_${digest:0:16}
  wasm2c "$out/code.wasm" --module-name="$name" --output="$out/$name.c"
  say "compiling the engine of $version for $target"
  # What wasm2c writes is not for people, nor are the compiler's warnings about it.
  compile -w -DENGINE="$name" -DSOURCE="\"$name.c\"" -c wasm/linked/engine.c -o "$out/$name.o"
  objects+=("$out/$name.o")
  declared+=("    static ssr_$name: Functions;")
  list+=("    LinkedEngine {
        version: \"$version\",
        code: \"$digest\",
        id: \"${digest:0:16}\",
        // SAFETY: a constant.
        functions: unsafe { &ssr_$name },
    },")
done
compile -Wall -Wextra -Werror -c wasm/linked/runtime.c -o "$out/runtime.o"
"$zig" ar rcsD "$out/libssr_engines.a" "$out/runtime.o" "${objects[@]}"
{
  echo 'unsafe extern "C" {'
  printf '%s\n' "${declared[@]}"
  echo '}'
  echo 'pub(super) static ENGINES: &[LinkedEngine] = &['
  printf '%s\n' "${list[@]}"
  echo '];'
} >"$out/engines.rs"
echo "$out"
