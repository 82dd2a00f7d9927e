#!/usr/bin/env bash
# `make run`: builds server and client, makes a log when there is none, and serves it. What a client needs to know of a
# new log (URL, key, the tokens that are shown only once) goes into cairn.env beside the data, readable by its owner only.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. build/say.sh

: "${LISTEN:=127.0.0.1:6962}" "${DATA:=data}"
programs=$(build/programs.sh)

cargo build --release --package cairnd --package cairn

if [ ! -e "$DATA/cairnd.toml" ]; then
    made=$("$programs/cairnd" init --data "$DATA" --json)
    field() {
        printf '%s\n' "$made" | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"
    }
    (
        umask 077
        printf "export CAIRN_URL='http://%s/logs/%s'\nexport CAIRN_KEY='%s'\nexport CAIRN_TOKEN='%s'\n" \
            "$LISTEN" "$(field name)" "$(field vkey)" "$(field producer_token)" >cairn.env
        printf "export CAIRN_AUDITOR_TOKEN='%s'\n" "$(field auditor_token)" >>cairn.env
    )
    say "a new log, $(field origin), in $DATA; its URL, key and tokens are in cairn.env"
fi

# The process keeps its number when it becomes the server; build/stop.sh reads it.
echo "$$" >"$DATA.pid"
exec "$programs/cairnd" serve --data "$DATA" --listen "$LISTEN"
