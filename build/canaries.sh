#!/usr/bin/env bash
# `make canaries`: shows that the harness finds what it is there to find. A build that is broken on purpose, which takes
# debug assertions and can't be had by a release build, is broken in one way at a time by the environment. Each canary must
# be found by the fault that names it, and the same faults must happen, and find nothing, where nothing is broken. SEED=
# repeats choices, and FOLDER= is where worlds are made, which are kept there then.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. build/say.sh

cargo build --release --package cairn-torture
failed=()
# The feature alone makes no build.
refused="breaks the log on purpose; build it with"
if said=$(cargo build --release --package cairnd --features canaries --bin cairnd-canaries 2>&1); then
    failed+=("a release build has the feature \`canaries\`")
elif [[ $said == *"$refused"* ]]; then
    say "a release build can't have the feature"
else
    failed+=("a release build with the feature \`canaries\` fails for another reason: $(tail -n 3 <<<"$said")")
fi
# Only these two crates are compiled anew: the rest is what every other build uses.
cargo build --release --package cairnd --features canaries --bin cairnd-canaries \
    --config 'profile.release.package.cairnd.debug-assertions=true' \
    --config 'profile.release.package.cairn-rocks.debug-assertions=true'
programs=$(build/programs.sh)
export CAIRN_TESTS_CAIRND=$programs/cairnd-canaries
: "${SEED:=1}"
unset MINUTES ONLY WORLD HANDS CYCLES
# Each finding keeps its world, and these are meant.
if [ -z "${FOLDER:-}" ]; then
    memory=/dev/shm
    [ -d "$memory" ] || memory=${TMPDIR:-/tmp}
    FOLDER=$(mktemp -d "$memory/canaries-XXXXXX")
    trap 'rm -rf "$FOLDER"' EXIT
fi

# The last line of a short run, which ends with the first finding. Succeeds where faults happened and nothing came of them.
torture() {
    CAIRND_CANARY=$1 "$programs/torture" --only "$2" --minutes "$3" --enough 1 --seed "$SEED" --folder "$FOLDER" \
        2>/dev/null | tail -n 1
}

# What is lost, contradicted or wrong in a line, in all.
found() {
    printf '%s' "$1" | grep -oE '"(lost|contradictions|bad_bytes)":[0-9]+' | sed 's/.*://' | paste -sd+ | bc
}

for case in "ack-before-fsync power" "no-high-water copies" "sign-before-check bundle" "wal-by-default wal" \
    "late-disclosures kill" "no-overlay kill" "unstored-checkpoint witnessed"; do
    read -r canary fault <<<"$case"
    line=$(torture "$canary" "$fault" 0.5) || true
    if [ "$(found "$line")" -gt 0 ]; then say "$canary: found by $fault: $line"; else failed+=("$canary is not found by $fault: $line"); fi
    if line=$(torture none "$fault" 0.15); then
        say "nothing broken: $fault finds nothing: $line"
    else
        failed+=("$fault finds something, or does nothing, where nothing is broken: $line")
    fi
done
# Without its fault a canary lives: a kill leaves what was written, and a sound disk gives back what it got.
for case in "ack-before-fsync kill" "sign-before-check kill" "no-high-water kill" "wal-by-default kill" \
    "unstored-checkpoint kill"; do
    read -r canary fault <<<"$case"
    if line=$(torture "$canary" "$fault" 0.1); then say "$canary: $fault alone does not find it"; else failed+=("$canary is found by $fault, or that did nothing: $line"); fi
done

[ "${#failed[@]}" -eq 0 ] || die "failed: $(printf '%s; ' "${failed[@]}")"
say "every canary was found by its fault"
