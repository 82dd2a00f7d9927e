//! The listing of a folder: a line for each file as `sha256sum` of GNU coreutils writes it, in the order of the bytes of the
//! paths. So one digest stands for a folder of any number of files, and `sha256sum -c` checks a folder without us.
//!
//! `HEX  PATH`, or, where the path has a backslash, a line feed or a carriage return, a backslash in front of the line and
//! `\\`, `\n` or `\r` in their place.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use cairn_tree::hash::Hash;
use cairn_tree::record::bounds::MAX_INTEGER;
use sha2::{Digest as _, Sha256};

use super::hashing::{Digest, Digests};
use super::{AttachError, failed};
use crate::bounds::LISTING_LINE_BYTES;

/// What a record says that the digest of a listing is.
pub const LISTING_TYPE: &str = "text/vnd.cairn.sha256sum";

/// What the files of a folder have together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Summary {
    /// Their bytes.
    pub(super) size: u64,
    /// The digest of the listing.
    pub(super) sha256: [u8; 32],
    /// How many they are.
    pub(super) files: u64,
}

/// Hashes all files, and writes the listing.
pub(super) fn write(
    root: &Path,
    digests: &mut Digests<'_>,
    mut out: impl FnMut(&[u8]) -> Result<(), AttachError>,
) -> Result<Summary, AttachError> {
    let (mut hasher, mut size, mut files) = (Sha256::new(), 0_u64, 0_u64);
    let mut text = Vec::new();
    while let Some((found, digest)) = digests.step()? {
        text.clear();
        push(&mut text, &found.name, digest);
        hasher.update(&text);
        out(&text)?;
        (size, files) = (size.saturating_add(digest.size), files + 1);
    }
    match (files, size) {
        (0, _) => Err(AttachError::Empty(root.to_owned())),
        (_, ..=MAX_INTEGER) => Ok(Summary { size, sha256: hasher.finalize().into(), files }),
        _ => Err(AttachError::Size(root.to_owned())),
    }
}

fn push(text: &mut Vec<u8>, name: &[u8], digest: Digest) {
    if name.iter().any(|byte| escape(*byte).is_some()) {
        text.push(b'\\');
    }
    text.extend_from_slice(Hash::new(digest.sha256).to_string().as_bytes());
    text.extend_from_slice(b"  ");
    for byte in name {
        match escape(*byte) {
            Some(escaped) => text.extend_from_slice(&[b'\\', escaped]),
            None => text.push(*byte),
        }
    }
    text.push(b'\n');
}

const fn escape(byte: u8) -> Option<u8> {
    match byte {
        b'\\' => Some(b'\\'),
        b'\n' => Some(b'n'),
        b'\r' => Some(b'r'),
        _ => None,
    }
}

/// A line that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) name: Vec<u8>,
    pub(super) sha256: [u8; 32],
}

impl Line {
    /// Reads a line, without its end: only what [`push`] writes.
    fn parse(line: &[u8]) -> Option<Self> {
        let (escaped, line) = line.strip_prefix(b"\\").map_or((false, line), |rest| (true, rest));
        let (hex, name) = (line.get(..64)?, line.get(64..)?.strip_prefix(b"  ")?);
        let sha256: Hash = std::str::from_utf8(hex).ok()?.parse().ok()?;
        let read = if escaped { unescaped(name)? } else { name.to_vec() };
        let needs = read.iter().any(|byte| escape(*byte).is_some());
        (!read.is_empty() && needs == escaped).then_some(Self { name: read, sha256: *sha256.as_bytes() })
    }
}

fn unescaped(name: &[u8]) -> Option<Vec<u8>> {
    let (mut read, mut bytes) = (Vec::with_capacity(name.len()), name.iter());
    while let Some(byte) = bytes.next() {
        read.push(match (byte, escape(*byte)) {
            (b'\\', _) => match bytes.next()? {
                b'\\' => b'\\',
                b'n' => b'\n',
                b'r' => b'\r',
                _ => return None,
            },
            (_, Some(_)) => return None,
            (byte, None) => *byte,
        });
    }
    Some(read)
}

/// A listing that was kept, and that has the digest which a record says.
pub(super) struct Kept {
    path: PathBuf,
    file: BufReader<File>,
    number: u64,
    last: Vec<u8>,
    /// Of the lines that were read, and of all as they are to be.
    digests: (Sha256, [u8; 32]),
}

impl Kept {
    /// Opens a listing if it is the one with this digest.
    pub(super) fn open(path: &Path, sha256: &[u8; 32]) -> Result<Option<Self>, AttachError> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(path)(error)),
        };
        let mut hasher = Sha256::new();
        let mut piece = vec![0; 1 << 16];
        loop {
            match file.read(&mut piece).map_err(failed(path))? {
                0 => break,
                read => hasher.update(piece.get(..read).unwrap_or_default()),
            }
        }
        if hasher.finalize().as_slice() != sha256 {
            return Ok(None);
        }
        file.rewind().map_err(failed(path))?;
        Ok(Some(Self {
            path: path.to_owned(),
            file: BufReader::new(file),
            number: 0,
            last: Vec::new(),
            digests: (Sha256::new(), *sha256),
        }))
    }

    /// The next line.
    pub(super) fn step(&mut self) -> Result<Option<Line>, AttachError> {
        self.number += 1;
        let mut text = Vec::new();
        let most = LISTING_LINE_BYTES as u64;
        let read = self.file.by_ref().take(most).read_until(b'\n', &mut text).map_err(failed(&self.path))?;
        let wrong = || AttachError::Listing { path: self.path.clone(), line: self.number };
        if read == 0 {
            // Somebody may have changed the file since it was opened.
            let is_same = self.digests.0.clone().finalize().as_slice() == self.digests.1;
            return if is_same { Ok(None) } else { Err(wrong()) };
        }
        self.digests.0.update(&text);
        let line = text.strip_suffix(b"\n").and_then(Line::parse).filter(|line| line.name > self.last);
        let line = line.ok_or_else(wrong)?;
        self.last.clone_from(&line.name);
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        push(&mut text, name, Digest { size: 0, sha256: [0xab; 32] });
        text
    }

    #[test]
    fn a_line_is_read_as_it_is_written() {
        for name in [&b"a"[..], b"deep/b c", b"a\\b", b"a\nb", b"a\rb", b"\xff", b" a ", b"\\"] {
            let text = text(name);
            assert_eq!(
                Line::parse(text.strip_suffix(b"\n").unwrap()),
                Some(Line { name: name.into(), sha256: [0xab; 32] })
            );
        }
        assert_eq!(text(b"a\\\n"), [b"\\", "ab".repeat(32).as_bytes(), b"  a\\\\\\n\n"].concat());
    }

    #[test]
    fn no_other_line_is_read() {
        let hex = "ab".repeat(32);
        let lines = [
            String::new(),
            hex.clone(),
            format!("{hex}  "),
            format!("{hex} *a"),
            format!("{hex} a"),
            format!("{}  a", &hex[1..]),
            format!("{}  a", hex.to_uppercase()),
            format!("\\{hex}  a"),
            format!("{hex}  a\\b"),
            format!("{hex}  a\r"),
            format!("\\{hex}  a\\"),
            format!("\\{hex}  a\\t"),
        ];
        for line in lines {
            assert_eq!(Line::parse(line.as_bytes()), None, "{line:?}");
        }
    }
}
