#!/usr/bin/env bash
# Compiles RocksDB once per machine and prints the folder that holds the static library. Called by setup.sh.
#
# The sources, the version and the features are those of Cargo.lock: cargo builds the crate librocksdb-sys of this very
# workspace, with a target folder of its own inside the cache, and the archive is kept. What could change the archive
# stands in the folder's name, so that another version or compiler gets another folder. LZ4 is not in the archive: cargo
# compiles lz4-sys in every target folder, which takes a second.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. build/say.sh

: "${CAIRN_CACHE:?run build/setup.sh}"
cxx=${CXX:-c++}

locked_version() {
    sed -n "/^name = \"$1\"\$/{n;s/^version = \"\(.*\)\"/\1/p}" Cargo.lock
}

# RocksDB uses the processor's CRC32C only when the compiler may: every x86-64 processor since about 2011 has it.
target_features() {
    local flags
    flags=$(grep -m 1 -E '^(flags|Features)' /proc/cpuinfo || true)
    case "$(uname -m):$flags " in
    x86_64:*\ sse4_2\ *) [[ "$flags " == *\ pclmulqdq\ * ]] && echo '+sse4.2,+pclmulqdq' || echo '+sse4.2' ;;
    aarch64:*\ aes\ *crc32\ *) echo '+crc,+aes' ;;
    esac
}

version=$(locked_version librocksdb-sys)
features=$(target_features)
feature_line=$(grep '^rocksdb = ' Cargo.toml)
[ -n "$version" ] || die "Cargo.lock names no librocksdb-sys"
key=$(
    printf '%s\n' "$version" "$(locked_version lz4-sys)" "$feature_line" "$features" "$("$cxx" --version | head -n 1)" \
        "$(uname -m)" "${CXXFLAGS:-}" "${ROCKSDB_CXX_STD:-}" | sha256sum | cut -c 1-12
)
name=rocksdb-$version-$key
library=$CAIRN_CACHE/$name
work=$CAIRN_CACHE/.$name.building
log=$CAIRN_CACHE/$name.log
compiler=

main() {
    if [ ! -f "$library/librocksdb.a" ]; then
        mkdir -p "$CAIRN_CACHE"
        # One compiles, the others wait: the kernel drops the lock when its holder dies, however it dies.
        exec 9>"$CAIRN_CACHE/$name.lock"
        if ! flock -n 9; then
            say "RocksDB is being compiled by another command; waiting for it"
            flock 9
        fi
        [ -f "$library/librocksdb.a" ] || compile
        exec 9>&-
    fi
    printf '%s\n' "$library"
}

compile() {
    local total started jobs
    # What an interrupted run left behind; nobody uses it, for the lock is ours.
    rm -rf "$work"
    total=$(source_count)
    jobs=$(job_count)
    started=$SECONDS
    say "compiling RocksDB ${version#*+}, once for this machine (into $library)"
    say "${total:-about 340} C++ files, $jobs at a time; this takes 5 to 30 minutes, by the number of processors"
    trap 'stop; exit 130' INT
    trap 'stop; exit 143' TERM HUP
    # A group of its own, so that an interrupt can end the compilers too. Debug lines would make the archive ten times
    # as large; ROCKSDB_COMPILE overrules a .cargo/config.toml that names another library.
    setsid env -u CARGO_ENCODED_RUSTFLAGS RUSTFLAGS="${features:+-C target-feature=$features}" ROCKSDB_COMPILE=1 \
        CARGO_PROFILE_RELEASE_DEBUG=false CARGO_TERM_COLOR=never \
        cargo build --release --package librocksdb-sys --jobs "$jobs" --target-dir "$work" \
        >"$log" 2>&1 </dev/null 9>&- &
    compiler=$!
    watch "$total" "$started"
    wait "$compiler" || failed
    compiler=
    keep
    say "RocksDB is compiled: $(clock $((SECONDS - started))), $(du -h "$library/librocksdb.a" | cut -f 1)"
}

keep() {
    local archive
    archive=$(find "$work" -path '*/librocksdb-sys-*/out/librocksdb.a' -print -quit)
    [ -n "$archive" ] || failed
    mkdir -p "$work/keep"
    mv "$archive" "$log" "$work/keep/"
    # The folder appears whole or not at all.
    rm -rf "$library"
    mv "$work/keep" "$library"
    rm -rf "$work"
}

failed() {
    compiler=
    say "RocksDB did not compile; the log is $log and ends:"
    grep -v '^ *$' "$log" | tail -n 8 | cut -c 1-160 | sed 's/^/    /' >&2
    if grep -qE 'Killed signal terminated|signal: 9' "$log"; then
        say "a compiler was killed, probably for want of memory: try again with CAIRN_JOBS=1"
    elif grep -q 'No space left on device' "$log"; then
        say "the disk is full: compiling takes 600 MB in $CAIRN_CACHE"
    fi
    exit 1
}

stop() {
    [ -z "$compiler" ] || kill -TERM -- "-$compiler" 2>/dev/null || true
    say "interrupted; RocksDB will be compiled from the beginning next time"
    rm -rf "$work"
}

# Shows how far the compiler is: a line that renews itself on a terminal, otherwise one line every 15 seconds.
watch() {
    local total=$1 started=$2 every=15 since=0 line width=0
    [ -t 2 ] && every=1
    while kill -0 "$compiler" 2>/dev/null; do
        sleep 1
        since=$((since + 1))
        [ "$since" -ge "$every" ] || continue
        since=0
        line=$(progress "$total" $((SECONDS - started)))
        if [ -t 2 ]; then
            printf '\r%-*s' "$width" "$line" >&2
            width=${#line}
        else
            printf '%s\n' "$line" >&2
        fi
    done
    [ ! -t 2 ] || printf '\r%-*s\r' "$width" '' >&2
}

progress() {
    local total=$1 elapsed=$2 finished
    finished=$(find "$work" -path '*/librocksdb-sys-*/out/*.o' 2>/dev/null | wc -l)
    printf 'cairn: RocksDB: %d%s C++ files, %s' "$finished" "${total:+ of $total}" "$(clock "$elapsed")"
    if [ -n "$total" ] && [ "$finished" -ge 10 ] && [ "$finished" -lt "$total" ]; then
        printf ', about %s left' "$(clock $((elapsed * (total - finished) / finished)))"
    fi
}

clock() {
    printf '%d:%02d' $(($1 / 60)) $(($1 % 60))
}

# How many files there are, when cargo has unpacked the sources where it usually does; otherwise nothing.
source_count() {
    cargo fetch --quiet >/dev/null 2>&1 </dev/null || true
    cat "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"librocksdb-sys-$version"/rocksdb_lib_sources.txt 2>/dev/null |
        sort -u | grep -c . || true
}

# The largest files take more than 1 GB each to compile.
job_count() {
    local processors memory
    processors=$(nproc)
    memory=$(awk '/^MemAvailable/ { print int($2 / 1200000) }' /proc/meminfo)
    [ "${memory:-1}" -ge 1 ] || memory=1
    echo "${CAIRN_JOBS:-${CARGO_BUILD_JOBS:-$((processors < memory ? processors : memory))}}"
}

main "$@"
