//! Every fuzz target over its seeds and over some thousand changes of each, without a fuzzer: the same changes in every
//! run. A fuzzer finds more; this finds what a change of a parser breaks at once.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cairn_roundtrip::{TARGETS, Target};

/// Changes of each seed.
const CHANGES: usize = 3_000;

fn fuzz_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

/// The seeds of a target, in the order of their names.
fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let folder = fs::read_dir(fuzz_dir().join("seeds").join(target.name)).unwrap();
    let paths: BTreeSet<PathBuf> = folder.map(|file| file.unwrap().path()).collect();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// A small generator of numbers (xorshift64), so that each run makes the same changes.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % bound.max(1)
    }

    /// Changes bytes in one of the ways that formats are broken by.
    fn change(&mut self, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
        let at = self.below(bytes.len());
        let to = at + self.below(bytes.len() - at.min(bytes.len()) + 1);
        match self.below(9) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
            1 if !bytes.is_empty() => bytes[at] = b"\n\r\t +=/0@\0\x7f\xff"[self.below(12)],
            2 => bytes.insert(at, b"\n\r\t +=/0#\0\x7f\xff"[self.below(12)]),
            3 => drop(bytes.drain(at..to)),
            4 => bytes.truncate(at),
            5 => {
                let copied = bytes[at..to].to_vec();
                let place = self.below(bytes.len() + 1);
                bytes.splice(place..place, copied);
            }
            6 => {
                let mut lines: Vec<Vec<u8>> =
                    bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
                if lines.len() > 1 {
                    let (first, second) = (self.below(lines.len()), self.below(lines.len()));
                    lines.swap(first, second);
                }
                *bytes = lines.concat();
            }
            7 => {
                let other = &others[self.below(others.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[self.below(other.len())..]);
            }
            _ => bytes.extend_from_slice(b"\n"),
        }
    }
}

#[test]
fn every_target_holds_over_its_seeds_and_their_changes() {
    for target in TARGETS {
        let seeds = seeds(target);
        let accepted = seeds.iter().filter(|seed| (target.run)(seed)).count();
        assert!(accepted > 0, "{}: no seed is accepted", target.name);
        assert!(accepted < seeds.len(), "{}: no seed is refused", target.name);

        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        let (mut still_accepted, mut refused) = (0, 0);
        for seed in &seeds {
            for _ in 0..CHANGES {
                let mut bytes = seed.clone();
                for _ in 0..=numbers.below(3) {
                    numbers.change(&mut bytes, &seeds);
                }
                if (target.run)(&bytes) { still_accepted += 1 } else { refused += 1 }
            }
        }
        assert!(still_accepted > 0 && refused > 0, "{}: {still_accepted} accepted, {refused} refused", target.name);
    }
}

/// A folder's file names, without their endings.
fn names(folder: &str) -> BTreeSet<String> {
    let folder = fs::read_dir(fuzz_dir().join(folder)).unwrap();
    folder.map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn there_is_a_fuzz_target_and_a_folder_of_seeds_for_each_body() {
    let bodies: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(names("fuzz_targets"), bodies);
    assert_eq!(names("seeds"), bodies);
    let manifest = fs::read_to_string(fuzz_dir().join("Cargo.toml")).unwrap();
    for body in &bodies {
        assert!(
            manifest.contains(&format!("[[bin]]\nname = \"{body}\"\npath = \"fuzz_targets/{body}.rs\"\n")),
            "{body}"
        );
        let source = fs::read_to_string(fuzz_dir().join(format!("fuzz_targets/{body}.rs"))).unwrap();
        assert!(source.contains(&format!("= cairn_roundtrip::{body}(bytes);")), "{body}");
    }
}
