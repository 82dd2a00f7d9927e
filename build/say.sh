# Sourced by the scripts beside it: one line for a person, always on standard error.

say() {
    printf 'cairn: %s\n' "$*" >&2
}

die() {
    say "$*"
    exit 1
}

# at_least 1.88 1.95.0: whether the second version is the first or newer.
at_least() {
    [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}
