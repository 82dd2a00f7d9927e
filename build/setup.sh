#!/usr/bin/env bash
# Makes this machine and this checkout ready to build Cairn: checks the tools, installs what is missing, has RocksDB
# compiled once per machine (rocksdb.sh), and writes .cargo/config.toml, so that plain cargo commands, clippy, editors
# and fuzzing link the same library. Every make target runs it first; when all is there it takes a fraction of a second.
#
# It does not install Rust, and it never changes a .cargo/config.toml that somebody wrote by hand.
#
# CAIRN_CACHE       where the compiled RocksDB is kept            (default: $HOME/.cache/cairn)
# CAIRN_JOBS        C++ files compiled at the same time           (default: by processors and free memory)
# CAIRN_NO_INSTALL  set to 1: name what is missing, install nothing

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. build/say.sh

: "${CAIRN_CACHE:=${HOME:?set HOME or CAIRN_CACHE}/.cache/cairn}"
export CAIRN_CACHE
config=.cargo/config.toml
marker='# Written by build/setup.sh; delete this line to keep your own changes.'

main() {
    need_git
    need_rust
    need_cxx
    find_libclang
    if [ -f "$config" ] && ! grep -qxF "$marker" "$config"; then
        grep -q '^ROCKSDB_LIB_DIR' "$config" ||
            say "$config was written by hand and is left alone: cargo will compile RocksDB in every target folder"
        return
    fi
    local library=${ROCKSDB_LIB_DIR:-}
    [ -n "$library" ] || library=$(bash build/rocksdb.sh)
    write_config "$library"
}

need_git() {
    command -v git >/dev/null || install git || die "git is missing; install it (Debian, Ubuntu: apt install git)"
}

need_rust() {
    # A fresh rustup is not on the PATH of a shell that was open before it.
    if ! command -v cargo >/dev/null && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
        die "Rust is installed but not on the PATH; run: . \"${CARGO_HOME:-$HOME/.cargo}/env\""
    fi
    { command -v cargo && command -v rustc; } >/dev/null || die "the Rust toolchain is missing; see https://rustup.rs"
    local needed have
    needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    have=$(rustc --version 2>/dev/null | cut -d' ' -f2) || true
    [ -n "$have" ] || die "rustc does not run; try: rustup default stable"
    at_least "$needed" "${have%%-*}" || die "Rust $needed or newer is needed, this is $have; run: rustup update stable"
}

need_cxx() {
    compiles_cxx20 && return
    if command -v "${CXX:-c++}" >/dev/null && command -v "${CC:-cc}" >/dev/null; then
        die "$("${CXX:-c++}" --version | head -n 1) does not compile C++20; GCC 11 or Clang 14 does (set CXX)"
    fi
    [ -n "${CXX:-}" ] || install g++ || true
    compiles_cxx20 || die "a C++20 compiler is missing; install one (Debian, Ubuntu: apt install g++)"
}

compiles_cxx20() {
    command -v "${CC:-cc}" >/dev/null &&
        printf '#include <compare>\n#include <cstdint>\nint main() { return (1 <=> 2) == 0; }\n' |
        "${CXX:-c++}" -std=c++20 -x c++ -fsyntax-only - 2>/dev/null
}

# Sets LIBCLANG_PATH where the bindings' generator would not find the library by itself, and BINDGEN_EXTRA_CLANG_ARGS
# where the library comes without its own headers (stddef.h and the like): the C compiler's serve as well.
find_libclang() {
    local directory
    directory=$(libclang_directory) || {
        install libclang-dev || true
        directory=$(libclang_directory) || { libclang_from_pypi && directory=$(libclang_directory); } || exit 1
    }
    [ "$directory" = "$CAIRN_CACHE/libclang" ] && export LIBCLANG_PATH=$directory
    if [ -z "${BINDGEN_EXTRA_CLANG_ARGS:-}" ] && ! has_clang_headers "$directory"; then
        BINDGEN_EXTRA_CLANG_ARGS="-isystem $("${CC:-cc}" -print-file-name=include)"
        export BINDGEN_EXTRA_CLANG_ARGS
    fi
}

libclang_directory() {
    local directory
    for directory in ${LIBCLANG_PATH:+"$LIBCLANG_PATH"} /usr/lib/llvm*/lib /usr/lib/*-linux-gnu /usr/lib64 /usr/lib \
        /usr/local/lib "$CAIRN_CACHE/libclang"; do
        if matches "$directory/libclang.so*" || matches "$directory/libclang-[0-9]*.so*"; then
            printf '%s\n' "$directory"
            return
        fi
    done
    return 1
}

has_clang_headers() {
    matches "$1/clang/*/include/stddef.h" || matches "/usr/lib/llvm*/lib/clang/*/include/stddef.h"
}

matches() {
    compgen -G "$1" >/dev/null
}

# Without root: the wheel holds the shared library alone, and is unzipped, not installed.
libclang_from_pypi() {
    local python folder=$CAIRN_CACHE/libclang
    local advice="libclang is missing; install it (Debian, Ubuntu: apt install libclang-dev)"
    local or_wheel="and it is fetched as a wheel"
    [ "${CAIRN_NO_INSTALL:-}" != 1 ] || die "$advice"
    python=$(command -v python3) || die "$advice, or install python3 with pip, $or_wheel"
    "$python" -m pip --version >/dev/null 2>&1 || die "$advice, or install pip for $python, $or_wheel"
    say "fetching libclang as a Python wheel into $folder"
    rm -rf "$folder.part"
    mkdir -p "$folder.part"
    if ! "$python" -m pip download --quiet --no-deps --only-binary :all: --dest "$folder.part" libclang \
        >"$folder.part/log" 2>&1; then
        say "pip could not fetch the wheel: $(tail -n 1 "$folder.part/log")"
        die "$advice"
    fi
    "$python" -m zipfile -e "$folder.part"/libclang-*.whl "$folder.part" || die "the wheel could not be unzipped"
    local library
    library=$(find "$folder.part" -name libclang.so -print -quit)
    [ -n "$library" ] || die "the wheel in $folder.part holds no libclang.so; $advice"
    rm -rf "$folder"
    mv "$(dirname "$library")" "$folder"
    rm -rf "$folder.part"
}

# Installs Debian packages, as root or through sudo; answers false when it cannot, and the caller says what is missing.
install() {
    [ "${CAIRN_NO_INSTALL:-}" != 1 ] || return 1
    command -v apt-get >/dev/null || return 1
    local as_root=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || return 1
        as_root=(sudo)
        # Nobody is there to type a password.
        [ -t 0 ] || as_root=(sudo -n)
        "${as_root[@]}" true 2>/dev/null || return 1
    fi
    say "installing $* with apt"
    local log
    log=$(mktemp)
    # An update that fails for one of many sources may still do.
    if {
        "${as_root[@]}" apt-get update
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
    } >"$log" 2>&1 </dev/null; then
        rm -f "$log"
    else
        say "apt could not install $*: $(grep '^E:' "$log" | head -n 1) (all of it: $log)"
        return 1
    fi
}

write_config() {
    local text
    text=$(
        printf '%s\n[env]\n' "$marker"
        printf 'ROCKSDB_LIB_DIR = "%s"\nROCKSDB_STATIC = "1"\n' "$1"
        [ -z "${LIBCLANG_PATH:-}" ] || printf 'LIBCLANG_PATH = "%s"\n' "$LIBCLANG_PATH"
        [ -z "${BINDGEN_EXTRA_CLANG_ARGS:-}" ] || printf 'BINDGEN_EXTRA_CLANG_ARGS = "%s"\n' "$BINDGEN_EXTRA_CLANG_ARGS"
    )
    [ ! -f "$config" ] || [ "$text" != "$(cat "$config")" ] || return 0
    mkdir -p .cargo
    printf '%s\n' "$text" >"$config.$$"
    mv "$config.$$" "$config"
}

main "$@"
