//! What the code keeps to, checked by reading it: sizes, openings, names, what does not stand in it, and which crate sees
//! which.
//!
//! The heuristics are simple and read formatted code: a function begins at a line with `fn` and ends at the closing brace
//! of the same indentation.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use cairn_tests::server::run;

use crate::scene::repository;

const LONGEST_FILE: usize = 600;
const LONGEST_FUNCTION: usize = 70;

/// Every Rust file of the repository, by path. Files that git ignores are not the repository's.
fn rust_files() -> BTreeMap<String, String> {
    files(|name| name.ends_with(".rs"))
}

fn files(wanted: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    let mut command = Command::new("git");
    command.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(repository());
    let listed = run(&mut command);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    let names = listed.stdout.lines().filter(|name| wanted(name) && repository().join(name).is_file());
    names.map(|name| (name.to_owned(), fs::read_to_string(repository().join(name)).unwrap())).collect()
}

/// Fails with all findings, not only the first.
fn assert_none(what: &str, findings: impl IntoIterator<Item = String>) {
    let findings: Vec<String> = findings.into_iter().collect();
    assert!(findings.is_empty(), "{what}:\n{}", findings.join("\n"));
}

/// Lines with their numbers.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines())
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let files = rust_files();
    assert!(files.len() > 100, "the repository was not found");
    let long = files.iter().filter(|(_, text)| text.lines().count() > LONGEST_FILE);
    assert_none("longer than 600 lines", long.map(|(name, _)| name.clone()));
    let silent = files.iter().filter(|(_, text)| !text.starts_with("//! "));
    assert_none("do not open with //!", silent.map(|(name, _)| name.clone()));
}

#[test]
fn functions_are_short() {
    let mut findings = Vec::new();
    let mut functions = 0;
    for (name, text) in rust_files() {
        let lines: Vec<&str> = text.lines().collect();
        for (start, line) in lines.iter().enumerate().filter(|(_, line)| begins_function(line)) {
            let indent = &line[..line.len() - line.trim_start().len()];
            let close = format!("{indent}}}");
            let body = lines[start..]
                .iter()
                .position(|line| *line == close || line.ends_with(';') && !line.starts_with(&format!("{indent} ")));
            let length = body.map_or(lines.len() - start, |end| end + 1);
            functions += 1;
            if length > LONGEST_FUNCTION {
                findings.push(format!("{name}:{}: {length} lines", start + 1));
            }
        }
    }
    assert!(functions > 500, "functions were not found");
    assert_none("functions longer than 70 lines", findings);
}

fn begins_function(line: &str) -> bool {
    let line = line.trim_start();
    let is_comment = line.starts_with("//");
    let words = line.split_whitespace().take_while(|word| !word.contains('('));
    !is_comment
        && line.contains("fn ")
        && words.clone().all(|word| MODIFIERS.contains(&word) || word.starts_with("pub"))
        || line.starts_with("fn ")
}

const MODIFIERS: [&str; 7] = ["pub", "const", "async", "unsafe", "extern", "fn", "default"];

#[test]
fn modules_have_names_that_say_something() {
    let empty_names = ["utils", "util", "common", "helpers", "helper", "types", "misc"];
    let named = |name: &String| {
        Path::new(name).iter().any(|part| {
            let part = part.to_str().unwrap_or_default();
            empty_names.contains(&part.strip_suffix(".rs").unwrap_or(part))
        })
    };
    assert_none("empty names", rust_files().into_keys().filter(named));
}

/// The part of a file that is not its tests.
fn without_tests(text: &str) -> &str {
    let end = text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    &text[..end]
}

/// Files that run in production.
fn is_production(name: &str) -> bool {
    let in_tests = name.contains("/tests/") || name.starts_with("tests/") || name.ends_with("/tests.rs");
    // Modules that only tests compile, and programs that measure.
    let is_fault = ["high_water/faults.rs", "high_water/gate.rs"].iter().any(|fault| name.ends_with(fault));
    !in_tests && !is_fault && !name.starts_with("benches/") && !name.contains("/examples/")
}

#[test]
fn nothing_is_left_undone_and_nothing_panics_without_a_reason() {
    let undone = ["todo!", "unimplemented!", "dbg!", "FIXME", "XXX"];
    let panicking = [".unwrap()", ".expect(", "panic!(", "unreachable!("];
    let mut findings = Vec::new();
    for (name, text) in rust_files().iter().filter(|(name, _)| !name.ends_with("all/tidy.rs")) {
        for (number, line) in lines(text) {
            if undone.iter().any(|word| line.contains(word)) {
                findings.push(format!("{name}:{number}: {}", line.trim()));
            }
        }
        if !is_production(name) {
            continue;
        }
        let text = without_tests(text);
        for (number, line) in lines(text).filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let panics = panicking.iter().any(|word| line.contains(word));
            if panics && !excused(text, number) {
                findings.push(format!("{name}:{number}: {}", line.trim()));
            }
        }
        for (number, line) in lines(text).filter(|(_, line)| line.trim_start().starts_with("#[allow(")) {
            let mut rest = text.lines().skip(number - 1).take(8);
            if !line.contains("reason = ") && !rest.any(|line| line.contains("reason = ")) {
                findings.push(format!("{name}:{number}: {}", line.trim()));
            }
        }
    }
    assert_none("left undone, or panicking without a reason", findings);
}

/// Whether an `expect` or `allow` with a reason stands before this line, within its function.
fn excused(text: &str, number: usize) -> bool {
    let before: Vec<&str> = text.lines().take(number).collect();
    let whole_file = text.lines().take(20).any(|line| line.starts_with("#![expect(") || line.starts_with("#![allow("));
    let near = before.iter().rev().take(LONGEST_FUNCTION);
    whole_file
        || near.clone().any(|line| line.contains("#[expect(") || line.contains("#[allow("))
            && text.contains("reason = ")
}

/// The core is pure: what it gets from the outside comes as a parameter.
#[test]
fn the_core_uses_no_clock_no_randomness_and_no_files() {
    let forbidden = [
        "std::time",
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "rand::",
        "getrandom",
        "SystemTime",
        "Instant::now",
    ];
    let mut findings = Vec::new();
    for (name, text) in rust_files().iter().filter(|(name, _)| name.starts_with("tree/src/")) {
        for (number, line) in lines(text).filter(|(_, line)| !line.trim_start().starts_with("//")) {
            if forbidden.iter().any(|word| line.contains(word)) {
                findings.push(format!("{name}:{number}: {}", line.trim()));
            }
        }
    }
    assert_none("not pure", findings);
}

/// The packages that each package of the workspace needs to be built, directly or not, tests aside.
fn needs() -> BTreeMap<String, BTreeSet<String>> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version", "1", "--offline", "--locked"]).current_dir(repository());
    let metadata = run(&mut command);
    assert_eq!(metadata.code, Some(0), "{}", metadata.stderr);
    let metadata: serde_json::Value = serde_json::from_str(&metadata.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeMap<String, String> =
        packages.iter().map(|package| (text(&package["id"]), text(&package["name"]))).collect();
    let is_normal = |kind: &serde_json::Value| kind["kind"].is_null();
    let edges: BTreeMap<String, Vec<String>> = metadata["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| {
            let needed = node["deps"].as_array().unwrap().iter();
            let normal = needed.filter(|dep| dep["dep_kinds"].as_array().unwrap().iter().any(is_normal));
            (text(&node["id"]), normal.map(|dep| text(&dep["pkg"])).collect())
        })
        .collect();
    let members = metadata["workspace_members"].as_array().unwrap().iter().map(text);
    members
        .map(|member| {
            let (mut seen, mut next) = (BTreeSet::new(), vec![member.clone()]);
            while let Some(id) = next.pop() {
                for needed in &edges[&id] {
                    if seen.insert(names[needed].clone()) {
                        next.push(needed.clone());
                    }
                }
            }
            (names[&member].clone(), seen)
        })
        .collect()
}

#[test]
fn crates_see_only_what_they_may() {
    let needs = needs();
    let sees = |who: &str, whom: &str| needs[who].contains(whom);
    for outside in
        ["tokio", "rocksdb", "librocksdb-sys", "hyper", "getrandom", "rand", "cairn-rocks", "cairnd", "cairn"]
    {
        assert!(!sees("cairn-tree", outside), "the core sees {outside}");
    }
    for server_side in ["rocksdb", "librocksdb-sys", "cairn-rocks", "cairnd"] {
        assert!(!sees("cairn", server_side), "the client sees {server_side}");
    }
    for above in ["cairn-rocks", "cairnd", "cairn"] {
        assert!(!sees("cairn-listen", above), "the accept loop sees {above}");
    }
    assert!(!sees("cairn-rocks", "cairn-listen"), "the store sees the accept loop");
    assert!(!sees("cairnd", "cairn"), "the server sees the client");
    assert!(!sees("cairn-rocks", "cairnd") && !sees("cairn-rocks", "tokio"), "the store sees the server");
    assert!(sees("cairnd", "rocksdb") && sees("cairn", "cairn-tree") && sees("cairnd", "cairn-tree"));
}

/// One sentence says why a dependency is there; a comment may stand above several lines.
#[test]
fn every_dependency_has_its_reason_beside_it() {
    let mut findings = Vec::new();
    for (name, text) in files(|name| name.ends_with("Cargo.toml")) {
        if name == "Cargo.toml" {
            continue;
        }
        let (mut inside, mut reason) = (false, false);
        for (number, line) in lines(&text) {
            match line.trim() {
                section if section.starts_with('[') => (inside, reason) = (section.contains("dependencies"), false),
                comment if comment.starts_with('#') => reason = true,
                "" => reason = false,
                dependency if inside && dependency.contains('=') && !reason => {
                    findings.push(format!("{name}:{number}: {dependency}"));
                }
                _ => {}
            }
        }
    }
    assert_none("dependencies without a reason", findings);
}

/// Shell commands of the README are run by `tests/readme.sh`, which `.ci/run` calls.
#[test]
fn every_command_of_the_readme_is_run() {
    let root = repository();
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    let (readme, ci) = (read("README.md"), read(".ci/run"));
    assert!(ci.contains("tests/readme.sh") && ci.contains("--test-command"), ".ci/run does not run the README");
    let known = ["```", "```sh", "```sh server", "```sh test", "```text", "```json", "```toml"];
    let fences: Vec<&str> = readme.lines().filter(|line| line.starts_with("```")).collect();
    assert!(fences.contains(&"```sh"), "the README has no commands");
    assert_none(
        "blocks that tests/readme.sh does not know",
        fences.into_iter().filter(|fence| !known.contains(fence)).map(str::to_owned),
    );
    let listed = run(Command::new("bash").args(["tests/readme.sh", "--test-command"]).current_dir(root));
    assert_eq!((listed.code, listed.stdout.trim()), (Some(0), "make test"), "{listed:?}");
}

/// Words that belong to no project.
#[test]
fn nothing_points_outside_of_the_repository() {
    let roots = ["/home/", "/root/"];
    let text = files(|name| {
        !name.contains("vectors/") && !name.contains("seeds/") && !name.ends_with(".lock") && is_text(name)
    });
    let findings = text.iter().filter(|(name, _)| !name.ends_with("all/tidy.rs")).flat_map(|(name, text)| {
        let found = lines(text).filter(|(_, line)| roots.iter().any(|root| line.contains(root)));
        found.map(move |(number, line)| format!("{name}:{number}: {}", line.trim()))
    });
    assert_none("paths of one machine", findings);
}

fn is_text(name: &str) -> bool {
    [".rs", ".md", ".toml", ".sh"].iter().any(|suffix| name.ends_with(suffix))
        || ["Makefile", ".ci/run"].contains(&name)
}
