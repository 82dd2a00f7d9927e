//! The seeds of the fuzz targets, and changes of them that are the same in every run.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn fuzz_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

/// The seeds of a target, in the order of their names.
pub(crate) fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = fs::read_dir(fuzz_dir().join("seeds").join(target)).unwrap();
    let paths: BTreeSet<PathBuf> = folder.map(|file| file.unwrap().path()).collect();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// A small generator of numbers (xorshift64), so that each run makes the same changes.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % bound.max(1)
    }

    /// Changes bytes in one of the ways that formats are broken by.
    pub(crate) fn change(&mut self, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
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
