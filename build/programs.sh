#!/usr/bin/env bash
# Prints the folder where cargo puts the programs of a profile (default: release), wherever the target folder is configured
# to be.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo metadata --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1\/'"${1:-release}"'/p'
