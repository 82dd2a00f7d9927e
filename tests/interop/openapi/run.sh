#!/usr/bin/env bash
# Schemathesis, which makes requests of what /openapi.json says and of what it forbids, against a cairnd that this script starts
# on a free port of this machine, for INTEROP_SECONDS (default 120): no answer is a server's error, none has a status, type, header or
# form that the document does not know, and nothing that needs a token is answered without one. Event streams, which do not end,
# are left out. pip fetches what requirements.txt pins, into a folder that vanishes with the run.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. ../../../build/say.sh
. ../../../build/serving.sh

scratch=$(mktemp -d)
server=
trap 'end' EXIT

end() {
    [ -z "$server" ] || { kill -TERM "$server" 2>/dev/null && wait "$server" 2>/dev/null; } || true
    rm -rf "$scratch"
}

command -v python3 >/dev/null || { say "skipped: Python is not installed"; exit 0; }
cargo build --release --package cairnd --package cairn --manifest-path ../../../Cargo.toml
programs=$(../../../build/programs.sh)
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --requirement requirements.txt

address=127.0.0.1:$(free_port 7982)
key=$("$programs/cairnd" init --data "$scratch/data" --json | sed -n 's/.*"vkey": *"\([^"]*\)".*/\1/p')
token=$("$programs/cairnd" token create --data "$scratch/data" --rights append,read,disclose:secret,admin \
    --logs '*' --tenants '*' --json | sed -n 's/.*"token": *"\([^"]*\)".*/\1/p')
[ -n "$token" ] || die "no token was made"
"$programs/cairnd" serve --data "$scratch/data" --listen "$address" >"$scratch/server.log" 2>&1 &
server=$!
await_ready "$address" "$server" 30 || { cat "$scratch/server.log" >&2; die "cairnd did not become ready"; }
object='{"tenant":"pb","module":"billing","entity":"invoice","id":"INV-1","operation":"create"}'
record='{"object":'$object',"actor":{"id":"ann"},"values":{"whole":{"new":{"amount":12.50}}}}'
printf '%s' "$record" | CAIRN_TOKEN=$token "$programs/cairn" record --url "http://$address/logs/main" --key "$key" - >"$scratch/recorded"

cp schemathesis.toml "$scratch"
cd "$scratch"
venv/bin/st run "http://$address/openapi.json" --header "Authorization: Bearer $token" --exclude-path-regex events \
    --phases coverage,fuzzing --max-time "${INTEROP_SECONDS:-120}" --workers 2 --continue-on-failure --warnings off \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,ignored_auth
! grep -E 'panicked|"level":"ERROR"| ERROR ' server.log || die "the server wrote errors in its log"
say "the document holds"
