#!/usr/bin/env bash
# `make network`: a log, three witnesses that cosign its heads and a monitor that checks it, all on this machine and each
# with its own keys, until Ctrl-C or `make stop`. Everything is made the first time and kept in one folder. In earnest
# each of the five would belong to somebody else.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. build/say.sh
. build/serving.sh

: "${LISTEN:=127.0.0.1:6962}" "${NETWORK:=network}"
programs=$(build/programs.sh)
witnesses=(w1 w2 w3)
declare -A running=()

main() {
    cargo build --release --package cairnd --package cairn
    [ -e "$NETWORK/cairn.env" ] || make_all
    trap 'stop_all; exit 0' INT TERM
    trap 'stop_all' EXIT
    echo "$$" >"$NETWORK.pid"
    start_all
    say "the log is $(log_url); its witnesses are at $(address 1), $(address 2) and $(address 3)"
    say "the monitor is at $(address 4); evidence goes to $NETWORK/monitor/evidence"
    say "in another terminal: . $NETWORK/cairn.env"
    watch_all
}

# The log's address, and the ports after it.
address() {
    printf '%s:%s' "${LISTEN%:*}" "$((${LISTEN##*:} + $1))"
}

log_url() {
    printf 'http://%s/logs/main' "$LISTEN"
}

# field NAME: a string out of the JSON on standard input.
field() {
    sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"
}

make_all() {
    [ ! -e "$NETWORK" ] || die "$NETWORK was not finished; remove it and try again"
    local made token key name number=0
    mkdir -m 700 "$NETWORK"
    made=$("$programs/cairnd" init --data "$NETWORK/log" --origin-prefix log.example/logs --json)
    token=$(field producer_token <<<"$made")
    key=$(field vkey <<<"$made")

    # Any two of the three, each by its ML-DSA-44 key.
    echo "log $key" >"$NETWORK/policy"
    for name in "${witnesses[@]}"; do
        number=$((number + 1))
        "$programs/cairn" witness init --dir "$NETWORK/$name" --name "$name.example/witness" >"$NETWORK/$name.vkeys"
        "$programs/cairn" witness add-log --dir "$NETWORK/$name" --vkey "$key" >&2
        echo "witness $name $(sed -n 2p "$NETWORK/$name.vkeys") http://$(address "$number")" >>"$NETWORK/policy"
    done
    printf '%s\n' "group two-of-three 2 ${witnesses[*]}" "quorum two-of-three" >>"$NETWORK/policy"
    "$programs/cairnd" log policy main --data "$NETWORK/log" --policy "$NETWORK/policy" >&2

    cat >"$NETWORK/monitor.toml" <<TOML
# What this monitor checks; \`cairn monitor --help\` names everything that can stand here.
state = "monitor"
listen = "$(address 4)"
on_alarm = "continue"
interval = "1s"
# For how long an old head may be the fault of some cache on the way.
stale_after = "5s"

[[log]]
name = "main"
url = "$(log_url)"
keys = ["$key"]
policy = "policy"
TOML
    number=0
    for name in "${witnesses[@]}"; do
        number=$((number + 1))
        printf '\n[[peer]]\nurl = "http://%s"\n' "$(address "$number")" >>"$NETWORK/monitor.toml"
    done
    # Last: whoever finds it finds the rest.
    (
        umask 077
        printf "export CAIRN_URL='%s'\nexport CAIRN_KEY='%s'\nexport CAIRN_TOKEN='%s'\n" "$(log_url)" "$key" "$token" \
            >"$NETWORK/cairn.env"
    )
}

# start NAME COMMAND...: in the background, with a log of its own.
start() {
    local name=$1
    shift
    "$@" >"$NETWORK/$name.out" 2>&1 &
    running[$name]=$!
    echo "$!" >"$NETWORK/$name.pid"
}

# The witnesses first: the log asks them before it signs anything larger than what it signed before.
start_all() {
    local name other number=0 peers
    for name in "${witnesses[@]}"; do
        number=$((number + 1))
        # Each looks at the heads of the others, and of the monitor, which is the fourth.
        peers=()
        for other in 1 2 3 4; do
            [ "$other" = "$number" ] || peers+=(--gossip-peer "http://$(address "$other")")
        done
        start "$name" "$programs/cairn" witness serve --dir "$NETWORK/$name" --listen "$(address "$number")" "${peers[@]}"
    done
    start log "$programs/cairnd" serve --data "$NETWORK/log" --listen "$LISTEN"
    await_ready "$LISTEN" "${running[log]}" 60 || { tail -n 5 "$NETWORK/log.out" >&2; die "the log did not become ready"; }
    start monitor "$programs/cairn" monitor --config "$NETWORK/monitor.toml"
}

# Goes on without a witness, as a log does; ends with the log.
watch_all() {
    local name
    while [ -n "${running[log]:-}" ]; do
        wait -n || true
        for name in "${!running[@]}"; do
            kill -0 "${running[$name]}" 2>/dev/null && continue
            say "$name has ended: $(tail -n 1 "$NETWORK/$name.out")"
            unset "running[$name]"
            rm -f "$NETWORK/$name.pid"
        done
    done
}

stop_all() {
    trap - INT TERM EXIT
    local name
    for name in "${!running[@]}"; do kill -TERM "${running[$name]}" 2>/dev/null || true; done
    for name in "${!running[@]}"; do
        wait "${running[$name]}" 2>/dev/null || true
        rm -f "$NETWORK/$name.pid"
    done
    rm -f "$NETWORK.pid"
}

main "$@"
