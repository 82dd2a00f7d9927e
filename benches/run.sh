#!/usr/bin/env bash
# Builds what is measured and measures it. Arguments go to `ratios`: --help tells which there are.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo build --profile dist --bins -p cairnd -p cairn -p cairn-benches
"$(bash build/programs.sh dist)/ratios" "$@"
