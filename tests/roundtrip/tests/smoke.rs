//! Every fuzz target over its seeds and over some thousand changes of each, without a fuzzer: the same changes in every
//! run. A fuzzer finds more; this finds what a change of a parser breaks at once.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod changes;

use std::collections::BTreeSet;
use std::fs;

use cairn_roundtrip::TARGETS;
use changes::{Numbers, fuzz_dir, seeds};

#[test]
fn every_target_holds_over_its_seeds_and_their_changes() {
    for target in TARGETS {
        let seeds = seeds(target.name);
        let accepted = seeds.iter().filter(|seed| (target.run)(seed)).count();
        assert!(accepted > 0, "{}: no seed is accepted", target.name);
        assert!(accepted < seeds.len(), "{}: no seed is refused", target.name);

        let mut numbers = Numbers::new();
        let (mut still_accepted, mut refused) = (0, 0);
        for seed in &seeds {
            for _ in 0..target.changes {
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
