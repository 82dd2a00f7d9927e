//! That this crate needs no operating system: it checks for `wasm32-unknown-unknown` where that target is installed,
//! and in any case names none of the parts of the standard library that do, nor randomness.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::Command;

/// What only an operating system has, and the crates that ask it for randomness.
const FORBIDDEN: [&str; 8] = ["fs", "net", "time", "thread", "process", "env", "io", "os"];
const FORBIDDEN_CRATES: [&str; 2] = ["rand", "getrandom"];

/// The suite that every store passes is for tests, and tests that readers and a writer may run at once.
const EXCEPT: [(&str, &str); 1] = [("store/suite.rs", "thread")];

#[test]
fn checks_for_wasm_where_the_target_is_installed() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let printed = Command::new(rustc).args(["--print", "target-libdir", "--target", "wasm32-unknown-unknown"]).output();
    let libdir = printed.ok().and_then(|printed| String::from_utf8(printed.stdout).ok()).unwrap_or_default();
    if libdir.trim().is_empty() || !Path::new(libdir.trim()).exists() {
        eprintln!("wasm32-unknown-unknown is not installed: only the sources are looked at");
        return;
    }
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    // A target folder of its own: the outer cargo holds the lock of the usual one.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wasm");
    let check = Command::new(env!("CARGO"))
        .args(["check", "--lib", "--target", "wasm32-unknown-unknown", "--manifest-path", manifest, "--target-dir"])
        .arg(target)
        .output()
        .unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
}

#[test]
fn names_nothing_that_needs_an_operating_system() {
    let mut pending = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut looked_at = 0;
    while let Some(folder) = pending.pop() {
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                looked_at += 1;
                look_at(&path);
            }
        }
    }
    assert!(looked_at > 20, "the sources are elsewhere");
}

fn look_at(path: &Path) {
    let source = fs::read_to_string(path).unwrap();
    let code: Vec<&str> = source.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let found = forbidden_in(&code.join(" "));
    let excepted = EXCEPT.iter().any(|(file, part)| path.ends_with(file) && found == Some(*part));
    assert!(found.is_none() || excepted, "{}: {found:?}", path.display());
}

/// The first forbidden path in code, alone (`std::fs`) or in a list (`use std::{fmt, fs}`).
fn forbidden_in(code: &str) -> Option<&'static str> {
    let of_std = paths(code, "std").find_map(|rest| {
        let list = rest.strip_prefix('{').map(|list| list.split('}').next().unwrap_or_default());
        FORBIDDEN.into_iter().find(|part| match list {
            Some(list) => words(list).any(|word| word == *part),
            None => words(rest).next() == Some(part),
        })
    });
    of_std.or_else(|| FORBIDDEN_CRATES.into_iter().find(|name| paths(code, name).next().is_some()))
}

/// What stands after each `root::`, where the root is a whole word.
fn paths<'a>(code: &'a str, root: &str) -> impl Iterator<Item = &'a str> {
    code.match_indices(root).filter_map(|(at, found)| {
        let before = code.get(..at)?.chars().next_back();
        let whole = !before.is_some_and(|c| c.is_alphanumeric() || c == '_');
        code.get(at + found.len()..)?.strip_prefix("::").filter(|_| whole)
    })
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

#[test]
fn the_scan_finds_what_is_forbidden() {
    for code in [
        "use std::fs;",
        "std::time::Instant::now()",
        "use std::{fmt,  env};",
        "use std::{\n    sync::Arc,\n    thread,\n};",
        "rand::rng()",
        "std::io::Error",
    ] {
        assert!(forbidden_in(code).is_some(), "{code}");
    }
    for code in ["use std::fmt;", "use core::fmt;", "std::ops::Range", "operand::new()", "use std::borrow::Cow;"] {
        assert_eq!(forbidden_in(code), None, "{code}");
    }
}
