#!/usr/bin/env bash
# Other people's witnesses cosign our log, and other people's log asks our witness, all unmodified and on this machine:
#   - litewitness (filippo.io/torchwood) and omniwitness (github.com/transparency-dev/witness), the latter with an
#     Ed25519 and an ML-DSA-44 key, are the quorum of a log of cairnd, whose receipts must verify under that policy;
#   - that project's loadtest asks `cairn witness` for cosignatures of fifty logs.
# go.mod pins their versions; Go fetches them the first time.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. ../../../build/say.sh
. ../../../build/serving.sh

scratch=$(mktemp -d)
started=()
trap 'end' EXIT
export GOFLAGS=-mod=readonly GOTOOLCHAIN=local
# They are to talk to this machine only.
export HTTP_PROXY=http://127.0.0.1:9 HTTPS_PROXY=http://127.0.0.1:9 NO_PROXY=127.0.0.1

main() {
    command -v go >/dev/null || skip "Go is not installed"
    command -v ssh-agent >/dev/null || skip "ssh-agent is not installed; litewitness keeps its key there"
    local needed have
    needed=$(sed -n 's/^go //p' go.mod)
    have=$(go env GOVERSION)
    at_least "$needed" "${have#go}" || skip "Go $needed or newer is needed, this is ${have#go}"
    say "building the Go programs"
    env -u HTTP_PROXY -u HTTPS_PROXY go build -o "$scratch/" tool ./addlog
    env -u HTTP_PROXY -u HTTPS_PROXY cargo build --release --package cairnd --package cairn --manifest-path ../../../Cargo.toml
    programs=$(../../../build/programs.sh)

    step "a log of ours" serve
    step "litewitness" litewitness
    step "omniwitness" omniwitness
    step "a receipt that all of them cosigned" witnessed
    step "the same, with a witness gone" one_gone
    step "loadtest against our witness" loadtest
    say "other people's witnesses cosign our log, and ours cosigns theirs"
}

skip() {
    say "skipped: $1"
    exit 0
}

step() {
    say "=== $1"
    shift
    "$@" || die "failed; see the lines above"
}

end() {
    local process
    for process in "${started[@]}"; do
        kill -TERM "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    rm -rf "$scratch"
}

# await SECONDS COMMAND...: until the command succeeds.
await() {
    local tries
    for ((tries = 0; tries < $1 * 10; tries++)); do
        ! "${@:2}" >/dev/null 2>&1 || return 0
        sleep 0.1
    done
    return 1
}

is_open() {
    (exec 3<>"/dev/tcp/${1%:*}/${1#*:}")
}

serve() {
    local made address
    address=127.0.0.1:$(free_port 8962)
    made=$("$programs/cairnd" init --data "$scratch/data" --origin-prefix interop.example/logs --json)
    CAIRN_TOKEN=$(sed -n 's/.*"producer_token": *"\([^"]*\)".*/\1/p' <<<"$made")
    export CAIRN_TOKEN
    origin=interop.example/logs/main
    key=$(grep -oE 'interop\.example/logs/main\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+' <<<"$made")
    "$programs/cairnd" serve --data "$scratch/data" --listen "$address" >"$scratch/server.log" 2>&1 &
    started+=($!)
    await_ready "$address" $! 30 || shown server
    url=http://$address/logs/main
}

# What a program said before it failed.
shown() {
    tail -n 20 "$scratch/$1.log" >&2
    return 1
}

litewitness() {
    ssh-keygen -q -t ed25519 -N '' -C interop -f "$scratch/lite"
    ssh-agent -D -a "$scratch/agent" >"$scratch/agent.log" 2>&1 &
    started+=($!)
    await 10 test -S "$scratch/agent" || shown agent
    SSH_AUTH_SOCK=$scratch/agent ssh-add -q "$scratch/lite"
    local fingerprint
    fingerprint=$(ssh-keygen -lf "$scratch/lite.pub" | cut -d ' ' -f 2)
    lite=127.0.0.1:$(free_port 9062)
    "$scratch/litewitness" -db "$scratch/lite.db" -name lite.example/witness -key "$fingerprint" -ssh-agent "$scratch/agent" \
        -listen "$lite" >"$scratch/litewitness.log" 2>&1 &
    lite_process=$!
    started+=("$lite_process")
    await 10 is_open "$lite" || shown litewitness
    "$scratch/addlog" "$scratch/lite.db" "$origin" "$key"
    lite_key=$(sed -n 's/.*vkey=//p' "$scratch/litewitness.log")
}

omniwitness() {
    "$scratch/generate_keys" -origin omni.example/witness -out_priv "$scratch/omni" -out_pub "$scratch/omni.pub"
    "$scratch/generate_keys" -origin omni.example/witness -mldsa -out_priv "$scratch/omni44" -out_pub "$scratch/omni44.pub"
    printf 'Logs:\n- Origin: %s\n  URL: %s\n  PublicKey: %s\n  Feeder: none\n' "$origin" "$url" "$key" >"$scratch/logs.yaml"
    omni=127.0.0.1:$(free_port 9162)
    "$scratch/omniwitness" --private_key_path "$scratch/omni" --private_key_path "$scratch/omni44" \
        --additional_logs "$scratch/logs.yaml" --db_file "$scratch/omni.db" --listen "$omni" \
        --metrics_listen "127.0.0.1:$(free_port 9262)" >"$scratch/omniwitness.log" 2>&1 &
    started+=($!)
    await 20 is_open "$omni" || shown omniwitness
}

# policy THRESHOLD: of three keys of two witnesses.
policy() {
    printf '%s\n' "log $key" \
        "witness lite $lite_key http://$lite" \
        "witness omni $(cat "$scratch/omni.pub") http://$omni" \
        "witness omni44 $(cat "$scratch/omni44.pub") http://$omni" \
        "group enough $1 lite omni omni44" "quorum enough" >"$scratch/policy"
    "$programs/cairnd" log policy main --data "$scratch/data" --policy "$scratch/policy"
}

# appended NAME: an entry whose receipt meets the policy that stands, and no stricter one.
appended() {
    echo "$1" >"$scratch/$1"
    "$programs/cairn" append --url "$url" --key "$key" --wait witnessed --out "$scratch" "$scratch/$1" &&
        "$programs/cairn" verify --policy "$scratch/policy" --proof "$scratch/$1.tlog-proof" "$scratch/$1"
}

witnessed() {
    policy all
    local entry
    for entry in one two three; do
        appended "$entry" || { shown litewitness || shown omniwitness || shown server; return 1; }
    done
    [ "$(grep -c '^— ' "$scratch/three.tlog-proof")" -ge 4 ]
}

one_gone() {
    kill -TERM "$lite_process"
    wait "$lite_process" 2>/dev/null || true
    policy 2
    appended four || shown server
    # Shows that the step before would have noticed a policy that is not met.
    sed -i 's/^group enough 2/group enough all/' "$scratch/policy"
    ! "$programs/cairn" verify --policy "$scratch/policy" --proof "$scratch/four.tlog-proof" "$scratch/four" 2>"$scratch/refused.log"
}

loadtest() {
    "$programs/cairn" witness init --dir "$scratch/witness" --name ours.example/witness >"$scratch/ours.pub"
    "$scratch/loadtest" 2>/dev/null | sed -n 's/^ *PublicKey: //p' >"$scratch/fifty"
    [ "$(wc -l <"$scratch/fifty")" = 50 ]
    local vkey ours
    while read -r vkey; do
        "$programs/cairn" witness add-log --dir "$scratch/witness" --vkey "$vkey" >>"$scratch/added.log"
    done <"$scratch/fifty"
    ours=127.0.0.1:$(free_port 9362)
    "$programs/cairn" witness serve --dir "$scratch/witness" --listen "$ours" >"$scratch/witness.log" 2>&1 &
    started+=($!)
    await 20 is_open "$ours" || shown witness
    # It ends by itself at the first wrong answer or when answers take a second. Its own timers bound its rate, so it would
    # never reach a rate to end at.
    local code=0
    timeout 15 "$scratch/loadtest" --target "http://$ours" --start_qps 2000 --max_qps 2000 --num_extra_sigs 1 \
        >"$scratch/loadtest.log" 2>&1 || code=$?
    [ "$code" = 124 ] || { shown loadtest || shown witness; return 1; }
    grep 'Average update time' "$scratch/loadtest.log" | tail -n 1 | sed 's/.*\] //' >&2
    local cosigned
    cosigned=$(grep -c 'Average update time' "$scratch/loadtest.log")
    say "about $((cosigned * 25 / 15)) cosigned heads per second"
    [ "$cosigned" -ge 40 ]
}

main "$@"
