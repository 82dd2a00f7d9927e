#!/usr/bin/env bash
# `make fuzz`: runs every target of tests/fuzz, or those that ONLY= names, for FUZZ_SECONDS each (default 20). The
# coverage instrumentation is the one that cargo-fuzz sets, and stable rustc has it too, so neither cargo-fuzz nor a
# nightly toolchain is needed. There is no address sanitizer: this workspace denies unsafe code. `cargo +nightly fuzz run
# NAME` in tests/fuzz works as well.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../tests/fuzz"
. ../../build/say.sh

: "${FUZZ_SECONDS:=20}"
host=$(rustc -vV | sed -n 's/^host: //p')
flags="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Ccodegen-units=1 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
target=${CARGO_TARGET_DIR:-$PWD/target}

RUSTFLAGS=$flags cargo build --release --bins --target "$host" --target-dir "$target"

# A fuzz target has no Rust `main`, which would have the programs started here ignore it: a peer that leaves is no crash.
trap '' PIPE

failed=()
for source in fuzz_targets/*.rs; do
    name=$(basename "$source" .rs)
    [[ -z ${ONLY:-} || " $ONLY " == *" $name "* ]] || continue
    mkdir -p "$target/corpus/$name" "artifacts/$name"
    seeds=()
    [ ! -d "seeds/$name" ] || seeds=("seeds/$name")
    say "fuzzing $name for $FUZZ_SECONDS s"
    "$target/$host/release/$name" -max_total_time="$FUZZ_SECONDS" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="artifacts/$name/" "$target/corpus/$name" "${seeds[@]}" >"artifacts/$name.log" 2>&1 ||
        failed+=("$name")
    grep -E '^(stat::number_of_executed_units|SUMMARY|Test unit written)' "artifacts/$name.log" >&2 || true
done

[ "${#failed[@]}" -eq 0 ] || die "failed: ${failed[*]}; the inputs and logs are in tests/fuzz/artifacts"
say "nothing found"
