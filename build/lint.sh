#!/usr/bin/env bash
# `make lint`: formatting, clippy, and the dependencies' licences, each where its tool is installed. All are always run.

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
# Few have this one. Advisories change from day to day and are not a matter of this checkout: `make audit` reads them.
if cargo deny --version >/dev/null 2>&1; then
    cargo deny check licenses bans sources || failed+=("licences and sources of dependencies")
else
    say "cargo-deny is not installed: licences and sources of dependencies are not checked"
fi

[ "${#failed[@]}" -eq 0 ] || die "findings: $(printf '%s; ' "${failed[@]}")"
