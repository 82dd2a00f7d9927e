#!/usr/bin/env bash
# `make stop`: asks the server that `make run` started to end, and waits until its process is gone.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. build/say.sh

: "${DATA:=data}"
[ -f "$DATA.pid" ] || die "no server was started here with \`make run\`"
pid=$(cat "$DATA.pid")

# The number may belong to another process by now.
running() {
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = cairnd ]
}

if running; then
    kill -TERM "$pid"
    for ((waited = 0; waited < 300; waited++)); do
        running || break
        sleep 0.1
    done
    ! running || die "cairnd (process $pid) has not ended within 30 seconds"
fi
rm -f "$DATA.pid"
