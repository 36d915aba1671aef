#!/usr/bin/env bash
# Tests the engines that are linked into programs, as machine code of this machine: that what their
# memory makes them do is what wasmtime makes of the same, and nothing worse than a failed render.
set -euo pipefail
cd "$(dirname "$0")/.."

target=x86_64-unknown-linux-gnu
[[ $(uname -m) == x86_64 ]] || {
  echo "test-linked: the engines are compiled for x86-64 here, and this is $(uname -m)" >&2
  exit 1
}
# Sites of the real engine, and a program that carries its machine code for 64-bit machines.
[[ -x target/release/ssr ]] || {
  echo "test-linked: target/release/ssr is missing: run make build first" >&2
  exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/page.js" <<'JS'
const items = Array.from({ length: 50 }, (_, i) => ({ id: i, name: `item ${i}`, tags: ['a', 'b'].map((t) => t + i) }));
export default {
  fetch: (request) =>
    new Response(
      `<h1>${new URL(request.url).pathname}</h1>` +
        items.map(({ id, name, tags }) => `<li id="${id}">${name.toUpperCase()} ${tags.join()} ${/m (\\d+)/.exec(name)?.[1]}`).join('') +
        JSON.stringify(items.slice(0, 5)),
    ),
};
JS
target/release/ssr build "$work/page.js" -o "$work/ssr.wasm" >&2
export SSR_TEST_SITE=$work/ssr.wasm SSR_TEST_CARRIER=$PWD/target/release/ssr SSR_TEST_ROUNDS=${SSR_TEST_ROUNDS:-300}

cargo build --quiet --workspace --bin ssr
SSR_LINKED_ENGINES=$(scripts/linked-engines.sh "target/$target/debug/ssr" "$target" test=wasm/src/linked/hostile.wat)
export SSR_LINKED_ENGINES
cargo test --workspace --lib linked -- --ignored --nocapture
