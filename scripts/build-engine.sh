#!/usr/bin/env bash
# Builds the JavaScript engine guest to target/engine/engine.wasm.
#
# QuickJS-ng is C. PyPI's ziglang compiles it, so neither a wasi-sdk nor clang is
# needed. Does nothing if the result is newer than its sources.
set -euo pipefail
cd "$(dirname "$0")/.."

out=target/engine/engine.wasm
sources=(images/engine Cargo.toml Cargo.lock scripts/build-engine.sh scripts/portable-rustflags.sh)
if [[ -f $out && -z $(find "${sources[@]}" -newer "$out" -type f -not -path '*/node_modules/*' -not -path '*/tests/*' -print -quit) ]]; then
  exit 0
fi

zig=$(scripts/zig-path.sh)
# Bytes of the C stack. images/engine/src/engine.rs lets JavaScript have most of it.
stack=$((4 << 20))
# cargo compiles the C sources again if the flags change: it does not know of the patches.
patches=$(cat images/engine/patches/*.patch | cksum | cut -d ' ' -f 1)
mkdir -p target/engine
# A C compiler for the crate cc, without its own --target, which zig does not know. It compiles
# a copy of QuickJS-ng's sources with images/engine/patches applied.
cat >target/engine/cc <<WRAPPER
#!/usr/bin/env bash
set -e
args=()
for arg in "\$@"; do
  case \$arg in
    --target=*) continue ;;
    */quickjs.c | quickjs.c)
      patched=$PWD/target/engine/quickjs
      rm -rf "\$patched"
      cp -r "\$(dirname "\$arg")" "\$patched"
      for patch in "$PWD"/images/engine/patches/*.patch; do
        patch --quiet --strip 1 --directory "\$patched" --input "\$patch" >&2
      done
      arg=\$patched/quickjs.c
      ;;
  esac
  args+=("\$arg")
done
exec "$zig" cc -target wasm32-wasi -fno-sanitize=undefined "\${args[@]}"
WRAPPER
printf '#!/bin/sh\nexec "%s" ar "$@"\n' "$zig" >target/engine/ar
chmod +x target/engine/cc target/engine/ar

flags=$(scripts/portable-rustflags.sh -C "link-arg=-zstack-size=$stack")
echo "engine: compiling QuickJS-ng to WebAssembly (about a minute)" >&2
RQUICKJS_SYS_NO_WASI_SDK=1 \
  CC_wasm32_wasip1="$PWD/target/engine/cc" \
  AR_wasm32_wasip1="$PWD/target/engine/ar" \
  CFLAGS_wasm32_wasip1="-O3 -mbulk-memory -mnontrapping-fptoint -msign-ext -DSSR_PATCHES=$patches" \
  CARGO_ENCODED_RUSTFLAGS=$flags \
  cargo rustc --quiet --profile guest --target wasm32-wasip1 --package ssr-engine --crate-type cdylib
scripts/portable-rustflags.sh --verify target/wasm32-wasip1/guest/ssr_engine.wasm
install -m 644 target/wasm32-wasip1/guest/ssr_engine.wasm "$out"
echo "engine: $out, $(stat -c %s "$out") bytes" >&2
