#!/usr/bin/env bash
# Runs the commands of the README and of the pages beside it, word by word and in order, in a fresh clone of this
# repository with a home folder of its own.
#
#   ```sh           runs in the clone; all such blocks share one shell, and any failing command fails the run
#   ```sh server    "a terminal of its own": runs beside the others until it ends, which must be with exit code 0;
#                   what follows waits until the server is ready
#   ```sh test      the test command: not run from here, printed by `tests/readme.sh --test-command`
#   # exits N       at the end of a line: the command must end with that code
#
# The clone shares this checkout's target folder, so that only the workspace's own crates are compiled again. Changes
# that are not committed yet are carried over, files that git does not know are not. Where port 6962 is taken, another
# one stands in for it. Every `make TARGET` that a page names, in a block or in running text, must exist.

set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
. build/say.sh
. build/serving.sh
pages=(README.md docs/witnesses.md docs/durability.md docs/operations.md docs/audit-trail.md docs/auditing.md
    docs/outbox.md docs/digit.md)

blocks() {
    awk -v want="$1" '
        /^```/ { inside = !inside; word = inside ? substr($0, 4) : ""; next }
        inside && word == want { print }
    ' README.md
}

if [ "${1:-}" = --test-command ]; then
    blocks 'sh test'
    exit
fi

for page in "${pages[@]}"; do
    unknown=$(awk '
        /^```/ { inside = !inside; if (inside && !/^```(sh|sh server|sh test|text|json|toml)$/) print NR ": " $0 }
    ' "$page")
    [ -z "$unknown" ] || die "$page has a block that this script does not know: $unknown"
    for target in $(grep -oE '(`|^)make [a-z]+' "$page" | sed 's/.* //' | sort -u); do
        make --dry-run "$target" >/dev/null 2>&1 || die "$page names \`make $target\`, which the Makefile does not have"
    done
done

built=$(dirname "$(build/programs.sh)")
scratch=$built/readme
rm -rf "$scratch"
mkdir -p "$scratch/home"
git clone --quiet --no-hardlinks "$root" "$scratch/clone"
if ! git diff --quiet HEAD; then
    git diff --binary HEAD | git -C "$scratch/clone" apply
fi
ln -s "$built" "$scratch/clone/target"

# The toolchain and the compiled RocksDB are the machine's, not the home folder's.
export CAIRN_CACHE=${CAIRN_CACHE:-$HOME/.cache/cairn} CARGO_HOME=${CARGO_HOME:-$HOME/.cargo} \
    RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup} HOME=$scratch/home
unset CARGO_TARGET_DIR CAIRN_TOKEN CAIRN_URL CAIRN_KEY DATA NETWORK

port=$(free_port 6962)
export LISTEN=127.0.0.1:$port
[ "$port" = 6962 ] || say "port 6962 is taken; the README's commands use $port"

# commands PAGE FOLDER: one script whose line numbers are the page's: whatever is no command becomes an empty line.
commands() {
    mkdir "$2"
    awk -v dir="$2" '
    /^```/ {
        inside = !inside
        word = inside ? substr($0, 4) : ""
        if (word == "sh server") { file = dir "/server-" NR ".sh"; print "start_server " file }
        else if (word == "sh") print "show " NR
        else print ""
        next
    }
    inside && word == "sh server" { print > file; print ""; next }
    inside && word == "sh" && match($0, / *# exits [0-9]+$/) {
        code = substr($0, RSTART); gsub(/[^0-9]/, "", code)
        print "expect " code " " substr($0, 1, RSTART - 1)
        next
    }
    inside && word == "sh" { print; next }
    { print "" }
' "$1" | sed "s/127\.0\.0\.1:6962/$LISTEN/g" >"$2/commands.sh"
    # A page need not have a server.
    find "$2" -name 'server-*.sh' -exec sed -i "s/127\.0\.0\.1:6962/$LISTEN/g" {} +
}

cat >"$scratch/prelude.sh" <<'PRELUDE'
set -eEuo pipefail
trap 'echo "$PAGE:$LINENO: failed: $BASH_COMMAND" >&2' ERR
trap end_servers EXIT
servers=()

# Shows the block that begins after this line of the page.
show() {
    sed -n "$(($1 + 1)),/^\`\`\`/p" "$PAGE" | sed '/^```/d; s/^/$ /' >&2
}

expect() {
    local wanted=$1 code=0
    shift
    "$@" || code=$?
    if [ "$code" != "$wanted" ]; then
        echo "$PAGE:${BASH_LINENO[0]}: ended with $code instead of $wanted: $*" >&2
        exit 1
    fi
}

start_server() {
    # It has to be gone before another one can take its place; a stop command of the page has seen to that.
    [ "${#servers[@]}" = 0 ] || wait "${servers[-1]}"
    sed 's/^/(another terminal) $ /' "$1" >&2
    setsid bash -euo pipefail "$1" </dev/null >"$1.log" 2>&1 &
    servers+=("$!")
    # The first start compiles.
    if ! await_ready "$LISTEN" "${servers[-1]}" 1800; then
        cat "$1.log" >&2
        echo "the server did not become ready" >&2
        return 1
    fi
    sed 's/^/(another terminal) /' "$1.log" >&2
}

end_servers() {
    local server
    for server in "${servers[@]}"; do kill -TERM -- "-$server" 2>/dev/null || true; done
}
PRELUDE

cd "$scratch/clone"
number=0
for page in "${pages[@]}"; do
    number=$((number + 1))
    commands "$page" "$scratch/$number"
    PAGE=$page bash -c ". build/serving.sh; . ../prelude.sh; . ../$number/commands.sh" </dev/null
    say "every command of $page ran"
done
