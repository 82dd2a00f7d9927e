#!/usr/bin/env bash
# `make lint`: formatting and clippy, each where it is installed. Both are always run.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. build/say.sh

failed=()
if cargo fmt --version >/dev/null 2>&1; then
    cargo fmt --all --check || failed+=("formatting")
    # The fuzz targets are a workspace of their own.
    cargo fmt --manifest-path tests/fuzz/Cargo.toml --check || failed+=("formatting of the fuzz targets")
else
    say "rustfmt is not installed: formatting is not checked"
fi
if cargo clippy --version >/dev/null 2>&1; then
    cargo clippy --workspace --all-targets --release -- -D warnings || failed+=("clippy")
else
    say "clippy is not installed: its findings are not checked"
fi

[ "${#failed[@]}" -eq 0 ] || die "findings: $(printf '%s; ' "${failed[@]}")"
