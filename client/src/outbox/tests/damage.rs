//! What a crash or a fault leaves is told apart: dropped where it was never acknowledged, else refused.

use super::*;

#[test]
fn every_flipped_byte_is_refused_or_harmless() {
    let (folder, saved, there) = small();
    let (mut refused, mut flips) = (0, 0);
    for (path, bytes) in &saved {
        // In sectors that nothing was written into, one byte in a while stands for the others.
        let sector = |at: usize| &bytes[at / 512 * 512..bytes.len().min(at / 512 * 512 + 512)];
        let is_written = |at: usize| at.is_multiple_of(61) || sector(at).iter().any(|byte| *byte != 0);
        for at in (0..bytes.len()).filter(|at| is_written(*at)) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(path, &flipped).unwrap();
            flips += 1;
            match open(folder.path()) {
                Ok(outbox) => {
                    assert_eq!(contents(&outbox), there, "{} {at}", path.display());
                    drop(outbox);
                    restore(folder.path(), &saved);
                }
                Err(StoreError::Damaged { .. }) => {
                    refused += 1;
                    fs::write(path, bytes).unwrap();
                }
                Err(other) => panic!("{} {at}: {other}", path.display()),
            }
        }
    }
    assert!(refused > flips * 9 / 10, "{refused} of {flips} were refused");
}

#[test]
fn a_file_that_is_cut_absent_or_older_is_refused() {
    let (folder, saved, _) = small();
    let refuse = |what: &str, words: &str| {
        let error = open(folder.path()).expect_err(what).to_string();
        assert!(error.contains(words) && error.contains("damaged"), "{what}: {error}");
        restore(folder.path(), &saved);
    };
    for (path, bytes) in saved.iter().filter(|(path, _)| path.extension().is_some_and(|suffix| suffix == "segment")) {
        for length in (0..bytes.len()).step_by(331).chain([bytes.len() - 1]) {
            fs::write(path, &bytes[..length]).unwrap();
            refuse(&format!("{} of {length} bytes", path.display()), "damaged");
        }
        fs::remove_file(path).unwrap();
        refuse("a missing segment", "missing");
    }
    let binding = folder.path().join("outbox.json");
    for length in 0..fs::read(&binding).unwrap().len() {
        let whole = fs::read(&binding).unwrap();
        fs::write(&binding, &whole[..length]).unwrap();
        refuse("a binding that was cut", "checksum");
    }
    fs::remove_file(&binding).unwrap();
    assert!(matches!(open(folder.path()), Err(StoreError::NotOne(_))), "what is there is not made anew");
    restore(folder.path(), &saved);
    // An older file that says how far the row goes.
    let outbox = open(folder.path()).unwrap();
    let older = fs::read(&binding).unwrap();
    (0..20).for_each(|_| drop(outbox.append(&[event("1", &"x".repeat(3_000))]).unwrap()));
    drop(outbox);
    fs::write(&binding, older).unwrap();
    refuse("an older binding", "older copy");
}

/// Where the last commit stands: the file, the offset, and its bytes.
fn last_commit(folder: &Path, before: &[(PathBuf, Vec<u8>)]) -> (PathBuf, usize, usize) {
    let changed: Vec<_> = save(folder).into_iter().zip(before).filter(|(now, then)| now != *then).collect();
    let [((path, now), (_, then))] = changed.as_slice() else { panic!("{} files changed", changed.len()) };
    let differs = |at: &usize| now[*at] != then[*at];
    let first = (0..now.len()).find(differs).unwrap() / 512 * 512;
    let last = (0..now.len()).rev().find(differs).unwrap() / 512 * 512 + 512;
    (path.clone(), first, last)
}

#[test]
fn a_torn_last_commit_is_dropped_whichever_of_its_sectors_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path()).unwrap();
    outbox.append(&[event("1", "kept")]).unwrap();
    let (there, before) = (contents(&outbox), save(folder.path()));
    outbox.append(&[event("2", &"x".repeat(2_200))]).unwrap();
    let (path, first, last) = last_commit(folder.path(), &before);
    drop(outbox);
    let after = save(folder.path());
    let whole = fs::read(&path).unwrap();
    let sectors = (last - first) / 512;
    assert!((5..10).contains(&sectors), "{sectors} sectors");
    for kept in 0..(1_u32 << sectors) - 1 {
        let mut torn = whole.clone();
        for sector in (0..sectors).filter(|sector| kept & 1 << sector == 0) {
            torn[first + sector * 512..first + (sector + 1) * 512].fill(0);
        }
        restore(folder.path(), &after);
        fs::write(&path, torn).unwrap();
        let outbox = open(folder.path()).unwrap();
        assert_eq!(contents(&outbox), there, "{kept:b}");
        // Life goes on, and what was cut short does not come back.
        let next = outbox.append(&[event("3", "next")]).unwrap();
        drop(outbox);
        let outbox = open(folder.path()).unwrap();
        let numbers: Vec<u64> = contents(&outbox).into_iter().map(|(number, ..)| number).collect();
        assert_eq!(numbers, [1, next.number], "{kept:b}");
    }
}
