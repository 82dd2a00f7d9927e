#!/usr/bin/env bash
# Other people's clients, unmodified, against a cairnd that this script starts on a free port of this machine:
#   - golang.org/x/mod/sumdb: note and tlog read checkpoint, tiles and bundles (tlog_test.go);
#   - the Tessera project's integration test, its load tool hammer (over HTTP/1.1 and HTTP/2, with and without a token)
#     and its fsck;
#   - golang.org/x/mod/sumdb/note with transparency-dev/formats and filippo.io/mldsa: a log that signs with Ed25519 and
#     ML-DSA-44, and our witness, which cosigns with both (ml-dsa/);
#   - audit records: an implementation in Python's standard library, made from docs/record.md, opens them, their checkpoints
#     and proofs (records.py); sumdb's note and tlog prove that they are in the log (records_test.go).
# go.mod pins their versions; Go fetches them the first time. With INTEROP_URL and INTEROP_KEY set, that log is used
# instead, which then has to take appends without a token; it will be filled with test entries.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. ../../build/say.sh
. ../../build/serving.sh

scratch=$(mktemp -d)
server=
witness=
trap 'end' EXIT
export GOFLAGS=-mod=readonly GOTOOLCHAIN=local

main() {
    command -v go >/dev/null || skip "Go is not installed"
    local needed have
    needed=$(sed -n 's/^go //p' go.mod)
    have=$(go env GOVERSION)
    at_least "$needed" "${have#go}" || skip "Go $needed or newer is needed, this is ${have#go}"

    if [ -z "${INTEROP_URL:-}" ]; then
        serve
        export INTEROP_PROOFS=1
    fi
    say "building the Go programs"
    go build -o "$scratch/" tool
    go test -c -o "$scratch/integration" github.com/transparency-dev/tessera/integration

    local url=${INTEROP_URL%/}
    step "sumdb note and tlog" go test -count=1 .
    step "Tessera's integration test" tessera_integration "$url"
    step "Tessera's hammer, HTTP/1.1" hammer "$url"
    step "Tessera's hammer, HTTP/2" hammer "$url" --force_http2
    step "Tessera's fsck" fsck "$url" "$INTEROP_KEY"
    if [ -n "$server" ] && at_least "$(sed -n 's/^go //p' ml-dsa/go.mod)" "${have#go}"; then
        cosign
        step "ML-DSA-44 heads and cosignatures" go -C ml-dsa test -count=1 .
    fi
    if [ -n "$server" ]; then
        records
        INTEROP_KEY=$closed_key step "Tessera's hammer, with a token" hammer "$closed_url" --bearer_token_write="$token"
        step "Tessera's fsck, on that log" fsck "$closed_url" "$closed_key"
        step "Tessera's fsck, with the key of another log" refused fsck "$url" "$closed_key"
    fi
    say "other people's clients work"
}

skip() {
    say "skipped: $1"
    exit 0
}

step() {
    say "=== $1"
    shift
    "$@" || die "failed"
}

end() {
    [ -z "$server" ] || kill -TERM "$server" 2>/dev/null || true
    [ -z "$witness" ] || kill -TERM "$witness" 2>/dev/null || true
    [ -z "$server" ] || wait "$server" 2>/dev/null || true
    [ -z "$witness" ] || wait "$witness" 2>/dev/null || true
    rm -rf "$scratch"
}

# A log that takes appends without a token, and beside it the usual one, which does not.
serve() {
    cargo build --release --package cairnd --manifest-path ../../Cargo.toml
    local cairnd address made
    cairnd=$(../../build/programs.sh)/cairnd
    address=127.0.0.1:$(free_port 7962)
    made=$("$cairnd" init --data "$scratch/data" --origin-prefix interop.example/logs --json)
    token=$(printf '%s\n' "$made" | sed -n 's/.*"producer_token": *"\([^"]*\)".*/\1/p')
    auditor_token=$(printf '%s\n' "$made" | sed -n 's/.*"auditor_token": *"\([^"]*\)".*/\1/p')
    "$cairnd" log create open --data "$scratch/data" --open-append >"$scratch/created"
    "$cairnd" log create both --data "$scratch/data" --open-append --ml-dsa >"$scratch/created"
    both_keys=$("$cairnd" key list both --data "$scratch/data" | grep -oE '[^ ]+\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+')
    "$cairnd" serve --data "$scratch/data" --listen "$address" >"$scratch/server.log" 2>&1 &
    server=$!
    if ! await_ready "$address" "$server" 30; then
        cat "$scratch/server.log" >&2
        die "cairnd did not become ready"
    fi
    closed_url=http://$address/logs/main
    closed_key=$(vkey main)
    INTEROP_URL=http://$address/logs/open
    INTEROP_KEY=$(vkey open)
    export INTEROP_URL INTEROP_KEY
}

# The key of the log that the seeds of the fuzzers are from.
seed_key=log.example/logs/test+2f30ffbb+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c

# Audit records, in the log that takes them.
records() {
    if ! command -v python3 >/dev/null; then
        say "skipped: audit records; Python is not installed"
        return
    fi
    step "the published vectors of records" python3 ../vectors/record/record.py
    step "served records, in Python" python3 records.py "$closed_url" "$closed_key" "$token" "$auditor_token"
    step "a saved record of which something is erased and withheld, in Python" python3 records.py --saved "$seed_key" \
        ../fuzz/seeds/record_answer/record
    INTEROP_RECORDS_URL=$closed_url INTEROP_RECORDS_KEY=$closed_key INTEROP_RECORDS_TOKEN=$auditor_token \
        step "sumdb note and tlog, on records" go test -count=1 -run Records .
}

# A witness for the log that signs with two keys.
cosign() {
    cargo build --release --package cairn --manifest-path ../../Cargo.toml
    local cairn address keys=() key
    cairn=$(../../build/programs.sh)/cairn
    address=127.0.0.1:$(free_port 7972)
    INTEROP_WITNESS_KEYS=$("$cairn" witness init --dir "$scratch/witness" --name witness.example/w --json |
        grep -oE '"witness\.example/w\+[^"]+"' | tr -d '"')
    for key in $both_keys; do keys+=(--vkey "$key"); done
    "$cairn" witness add-log --dir "$scratch/witness" "${keys[@]}" >"$scratch/created"
    "$cairn" witness serve --dir "$scratch/witness" --listen "$address" >"$scratch/witness.log" 2>&1 &
    witness=$!
    local tries=0
    until grep -q 'is ready at' "$scratch/witness.log"; do
        tries=$((tries + 1))
        if [ "$tries" -gt 300 ] || ! kill -0 "$witness" 2>/dev/null; then
            cat "$scratch/witness.log" >&2
            die "the witness did not become ready"
        fi
        sleep 0.1
    done
    INTEROP_BOTH_URL=${INTEROP_URL%/open}/both
    INTEROP_BOTH_KEYS=$both_keys
    INTEROP_WITNESS_URL=http://$address
    export INTEROP_BOTH_URL INTEROP_BOTH_KEYS INTEROP_WITNESS_URL INTEROP_WITNESS_KEYS
}

# A vkey begins with its log's origin.
vkey() {
    "$cairnd" log list --data "$scratch/data" --json | grep -oE "interop\.example/logs/$1\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+"
}

tessera_integration() {
    "$scratch/integration" -test.v -test.run TestLiveLogIntegration --run_integration_test \
        --log_url="$1" --write_log_url="$1" --log_public_key="$INTEROP_KEY"
}

# It goes on after errors and says so only in its log, so its log has to be free of them.
hammer() {
    local url=$1
    shift
    "$scratch/hammer" --log_url="$url" --log_public_key="$INTEROP_KEY" --show_ui=false --max_runtime=60s \
        --num_writers=256 --max_write_ops=2000 --leaf_write_goal=10000 --dup_chance=0 --leaf_min_size=300 \
        --num_readers_random=16 --num_readers_full=16 --max_read_ops=1000 "$@" >"$scratch/hammer.log" 2>&1 || {
        tail -n 20 "$scratch/hammer.log" >&2
        return 1
    }
    grep 'Reached tree size' "$scratch/hammer.log" >&2 || return 1
    # What was under way when it had reached its goal, it cancelled itself.
    ! grep -E '^[WEF]' "$scratch/hammer.log" | grep -v 'context canceled' >&2
}

# Its exit code is 0 whatever it finds.
fsck() {
    printf '%s' "$2" >"$scratch/key"
    "$scratch/fsck" --storage_url="$1" --public_key="$scratch/key" --ui=false -N=8 >"$scratch/fsck.log" 2>&1 || true
    ! grep -E '^([EF]|panic)' "$scratch/fsck.log" >&2 && grep 'Successfully fsck' "$scratch/fsck.log" >&2
}

# Shows that the step before would have noticed.
refused() {
    ! "$@"
}

main "$@"
