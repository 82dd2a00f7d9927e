#!/usr/bin/env bash
# `make audit`: published advisories, licences, sources and duplicates of every dependency, those of the fuzz targets
# included. Installs the two tools where they are missing (some minutes). They fetch the advisory database; where that
# can't be reached they read the copy that an earlier run left, and it is said.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. build/say.sh

for tool in cargo-deny cargo-audit; do
    command -v "$tool" >/dev/null || { say "installing $tool"; cargo install --locked "$tool"; }
done

failed=()
fetched=()
if ! cargo deny fetch db >/dev/null 2>&1; then
    say "the advisory database can't be fetched: the copy of an earlier run is read"
    fetched=(--offline)
fi
for manifest in Cargo.toml tests/fuzz/Cargo.toml; do
    cargo deny "${fetched[@]}" --manifest-path "$manifest" --config deny.toml check || failed+=("$manifest")
done
# A second reader of the same advisories, which also names crates that were yanked since.
stale=()
[ "${#fetched[@]}" -eq 0 ] || stale=(--no-fetch --stale)
for lock in Cargo.lock tests/fuzz/Cargo.lock; do
    cargo audit "${stale[@]}" --file "$lock" || failed+=("$lock")
done

[ "${#failed[@]}" -eq 0 ] || die "findings in: ${failed[*]}"
say "no findings"
