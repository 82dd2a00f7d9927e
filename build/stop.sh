#!/usr/bin/env bash
# `make stop`: asks what `make run` or `make network` started to end, and waits until its process is gone.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. build/say.sh

: "${DATA:=data}" "${NETWORK:=network}"

# is_running PID COMMAND: the number may belong to another process by now.
is_running() {
    [ "$(cat "/proc/$1/comm" 2>/dev/null)" = "$2" ]
}

# stop FILE COMMAND: the process whose number stands in the file.
stop() {
    local pid waited
    [ -f "$1" ] || return 0
    found=yes
    pid=$(cat "$1")
    if is_running "$pid" "$2"; then
        kill -TERM "$pid"
        for ((waited = 0; waited < 300; waited++)); do
            is_running "$pid" "$2" || break
            sleep 0.1
        done
        ! is_running "$pid" "$2" || die "$2 (process $pid) has not ended within 30 seconds"
    fi
    rm -f "$1"
}

found=
stop "$DATA.pid" cairnd
stop "$NETWORK.pid" bash
[ -n "$found" ] || die "nothing was started here with \`make run\` or \`make network\`"
