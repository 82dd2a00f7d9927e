#!/usr/bin/env bash
# `make torture`: breaks the real server again and again for MINUTES (default 30), and tells what became of what it had
# acknowledged. ONLY= names kinds of faults
# (kill|points|syscall|power|recovery|bitflip|files|copies|clock|repair|backup|witnessed), SEED= repeats the choices of an
# earlier run, WORLD= one of its worlds, HANDS= is how many worlds stand beside each other, FOLDER= where. A table and a line
# of JSON per kind come at the end; anything lost, contradicted or wrong is a failure.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. build/say.sh

cargo build --release --package cairnd --package cairn --package cairn-torture
programs=$(build/programs.sh)
arguments=(--minutes "${MINUTES:-30}")
for name in SEED ONLY WORLD HANDS CYCLES FOLDER; do
    # What is empty is not given.
    [ -z "${!name:-}" ] || arguments+=("--${name,,}" "${!name}")
done
exec "$programs/torture" "${arguments[@]}"
