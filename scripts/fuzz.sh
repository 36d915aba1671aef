#!/usr/bin/env bash
# Fuzzes one of the targets in fuzz/targets for some seconds:
#
#   scripts/fuzz.sh ipc|bundle|entry|detect|carried [SECONDS] [libFuzzer's options...]
#
# Needs no nightly Rust and no cargo-fuzz. What was found interesting stays in
# target/fuzz/corpus, inputs that fail in target/fuzz/found.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:?usage: scripts/fuzz.sh TARGET [SECONDS]}
seconds=${2:-60}
shift $(($# < 2 ? $# : 2))
host=$(rustc --print host-tuple)

# What cargo-fuzz passes. It replaces the flags in .cargo/config.toml: libFuzzer and the
# sanitizer need the dynamic C library. The sanitizer's flag is one of nightly's.
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="-Zsanitizer=address -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ctarget-feature=-crt-static"
RUSTFLAGS=$(tr -s ' \n' ' ' <<<"$RUSTFLAGS")
cargo build --jobs "${FUZZ_JOBS:-1}" --release --manifest-path fuzz/Cargo.toml --target "$host" \
  --target-dir target/fuzz --bin "$target"
mkdir -p "target/fuzz/corpus/$target" target/fuzz/found
exec nice -n 19 "target/fuzz/$host/release/$target" "target/fuzz/corpus/$target" -dict=fuzz/dictionary \
  -artifact_prefix="target/fuzz/found/$target-" -max_total_time="$seconds" -max_len=4096 -print_final_stats=1 "$@"
