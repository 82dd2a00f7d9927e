//! Tables that a database's manifest does not name, before RocksDB sees them: it removes each at every open but those to read.
//!
//! A crash during a flush or a compaction leaves such tables, and what they hold stands elsewhere as well. But a manifest that
//! was cut exactly between two records is whole in itself; it names an older state, and the tables of the lost records may be
//! the only ones that have their rows. RocksDB would remove them, and whoever mends the database would have less to go by.
//!
//! So [`Unnamed`] says whether there are any, and whether rows are missing between what the manifest knows and what the
//! write-ahead logs begin with: each batch there tells the number of its first write (`db/write_batch.cc`), and the manifest the
//! last one before it was written (`db/version_edit.h`). After a crash there is no such gap.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};

use cairn_tree::size::counted;

use crate::OpenError;
use crate::cut::{BLOCK, FIRST, FULL, HEADER, Header, LAST};
use crate::store::CURRENT;

/// Tables that the manifest does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unnamed {
    /// How many; all of them, where the manifest can't be understood.
    pub(crate) tables: usize,
    /// Whether rows are missing that may be in them alone.
    pub(crate) has_gap: bool,
}

impl Unnamed {
    /// Looks at a database that is not open.
    pub(crate) fn of(path: &Path) -> Result<Self, OpenError> {
        look(path).map_err(|error| OpenError::from_io(path, &error))
    }

    /// Why the database must not be opened, if that would remove what nothing else has.
    pub(crate) fn refusal(self, path: &Path) -> Option<OpenError> {
        let Self { tables, has_gap } = self;
        let message = format!(
            "the manifest does not name {} that {} there, and lacks what stands before the write-ahead log: its last \
             records are lost",
            counted(tables as u64, "table", "tables"),
            if tables == 1 { "is" } else { "are" },
        );
        (has_gap && tables > 0).then(|| OpenError::Corrupt { path: path.into(), message })
    }
}

fn look(path: &Path) -> io::Result<Unnamed> {
    let (mut tables, mut logs) = (BTreeSet::new(), Vec::new());
    for file in fs::read_dir(path)? {
        let file = file?.path();
        if !file.is_file() {
            continue;
        }
        let number = file.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        match (number, file.extension().and_then(|extension| extension.to_str())) {
            (Some(number), Some("sst")) => drop(tables.insert(number)),
            (Some(number), Some("log")) => logs.push((number, file)),
            _ => {}
        }
    }
    if tables.is_empty() {
        return Ok(Unnamed { tables: 0, has_gap: false });
    }
    let current = fs::read(path.join(CURRENT))?;
    let manifest = String::from_utf8_lossy(current.trim_ascii_end());
    let Some(named) = Named::read(&path.join(&*manifest))? else {
        return Ok(Unnamed { tables: tables.len(), has_gap: false });
    };
    let unnamed = tables.difference(&named.tables).count();
    logs.sort();
    // Only then are the logs read.
    let has_gap = unnamed > 0 && has_gap(named.last_sequence, &logs)?;
    Ok(Unnamed { tables: unnamed, has_gap })
}

/// Whether a log begins later than what is known before it ends.
fn has_gap(last_sequence: u64, logs: &[(u64, PathBuf)]) -> io::Result<bool> {
    let mut known = last_sequence;
    for (_, log) in logs {
        let (mut first, mut end) = (None, Some(0));
        each_part(log, &mut |kind, part| {
            if matches!(kind, FULL | FIRST) {
                let batch = batch(part);
                first = first.or(batch.map(|(sequence, _)| sequence));
                end = batch.map(|(sequence, count)| sequence.saturating_add(count).saturating_sub(1));
            }
        })?;
        if first.is_some_and(|first| first > known.saturating_add(1)) {
            return Ok(true);
        }
        // Where its last batch can't be read nobody knows where it ends; RocksDB says what is wrong with it.
        let Some(end) = end else { return Ok(false) };
        known = known.max(end);
    }
    Ok(false)
}

/// The number of a batch's first write, and how many it has.
fn batch(payload: &[u8]) -> Option<(u64, u64)> {
    let (sequence, rest) = payload.split_first_chunk()?;
    let count = rest.first_chunk()?;
    Some((u64::from_le_bytes(*sequence), u32::from_le_bytes(*count).into()))
}

/// Hands on each part of each record that is whole, with its kind, up to the first that is not.
fn each_part(path: &Path, each: &mut dyn FnMut(u8, &[u8])) -> io::Result<()> {
    let mut file = match File::open(path) {
        // It may go away while another process has the database.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => BufReader::new(file?),
    };
    loop {
        let mut block = Vec::new();
        (&mut file).take(BLOCK).read_to_end(&mut block)?;
        if block.is_empty() {
            return Ok(());
        }
        let mut at = 0;
        while let Some((header, rest)) = block.get(at..).and_then(Header::split) {
            if header.kind == 0 && header.length == 0 {
                break;
            }
            let payload = rest.get(..header.length).filter(|_| (FULL..=LAST).contains(&header.kind));
            let Some(payload) = payload.filter(|payload| header.fits(payload)) else { return Ok(()) };
            each(header.kind, payload);
            at += HEADER + payload.len();
        }
    }
}

/// What a manifest names.
struct Named {
    /// All tables that it ever added: those that it took out since may be there still.
    tables: BTreeSet<u64>,
    /// The number of the last write that it knows of.
    last_sequence: u64,
}

impl Named {
    /// `None` if it has something that is not known here.
    fn read(manifest: &Path) -> io::Result<Option<Self>> {
        let (mut named, mut record) = (Self { tables: BTreeSet::new(), last_sequence: 0 }, Vec::new());
        let mut is_understood = true;
        each_part(manifest, &mut |kind, part| {
            if matches!(kind, FULL | FIRST) {
                record.clear();
            }
            record.extend_from_slice(part);
            if matches!(kind, FULL | LAST) {
                is_understood &= named.take(&mut Fields(&record)).is_some();
            }
        })?;
        Ok(Some(named).filter(|_| is_understood))
    }

    /// Takes one record: tags, each with its fields.
    fn take(&mut self, fields: &mut Fields<'_>) -> Option<()> {
        while !fields.0.is_empty() {
            match fields.number()? {
                // The comparator, and the name of a family.
                1 | 201 => fields.bytes()?,
                // Numbers of logs and files, of a family, and of records that belong together.
                2 | 3 | 9 | 10 | 200 | 203 | 300 => drop(fields.number()?),
                4 => self.last_sequence = self.last_sequence.max(fields.number()?),
                // Where a compaction goes on.
                5 => {
                    fields.number()?;
                    fields.bytes()?;
                }
                // A table that is taken out.
                6 => {
                    fields.number()?;
                    fields.number()?;
                }
                // A family is dropped.
                202 => {}
                // A table: level, number, size, first and last key, first and last write, and what else there is to it.
                103 => {
                    fields.number()?;
                    self.tables.insert(fields.number()?);
                    fields.number()?;
                    fields.bytes()?;
                    fields.bytes()?;
                    fields.number()?;
                    fields.number()?;
                    while fields.number()? != 1 {
                        fields.bytes()?;
                    }
                }
                // What a program may pass over has its length.
                tag if tag & 1 << 13 != 0 => fields.bytes()?,
                _ => return None,
            }
        }
        Some(())
    }
}

/// What is left of a record.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    /// Seven bits a byte, the lowest first.
    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// Passes over bytes that have their length before them.
    fn bytes(&mut self) -> Option<()> {
        let length = usize::try_from(self.number()?).ok()?;
        self.0 = self.0.get(length..)?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use cairn_tree::store::{Batch, Key, Kind, LogId, Store as _};

    use super::*;
    use crate::{RocksStore, Settings};

    fn key(number: u64) -> Key {
        Key::numbered(LogId::new(1), Kind::Bundle, number)
    }

    fn put(store: &RocksStore, number: u64) {
        let mut batch = Batch::new();
        batch.put(key(number), vec![number as u8; 90]);
        store.commit(batch).unwrap();
    }

    fn copy(from: &Path, to: &Path) {
        let _ = fs::remove_dir_all(to);
        fs::create_dir(to).unwrap();
        for file in fs::read_dir(from).unwrap().map(|file| file.unwrap().path()) {
            fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
        }
    }

    /// Where the records of a manifest end.
    fn ends(bytes: &[u8]) -> Vec<usize> {
        let (mut at, mut ends) = (0, Vec::new());
        while let Some((header, _)) = Header::split(&bytes[at..]) {
            at += HEADER + header.length;
            ends.push(at);
        }
        ends
    }

    fn tables(path: &Path) -> BTreeSet<PathBuf> {
        let files = fs::read_dir(path).unwrap().map(|file| file.unwrap().path());
        files.filter(|file| file.extension().is_some_and(|extension| extension == "sst")).collect()
    }

    /// A manifest that is cut between records names an older state: nothing that it does not name is removed where that has
    /// what nothing else has, and all of it is found when the tables are listed anew.
    #[test]
    fn no_open_removes_tables_that_a_lost_record_named() {
        let folder = tempfile::tempdir().unwrap();
        let (path, image) = (folder.path().join("db"), folder.path().join("image"));
        let store = RocksStore::create(&path, &Settings::default()).unwrap();
        (0..20).for_each(|number| put(&store, number));
        store.flush().unwrap();
        (20..40).for_each(|number| put(&store, number));
        copy(&path, &image);
        drop(store);
        assert_eq!(Unnamed::of(&image).unwrap(), Unnamed { tables: 0, has_gap: false });
        let sound = folder.path().join("sound");
        copy(&image, &sound);
        // What a flush leaves that was cut short.
        fs::write(sound.join("900000.sst"), b"half a table").unwrap();
        assert_eq!(Unnamed::of(&sound).unwrap(), Unnamed { tables: 1, has_gap: false });
        assert!(RocksStore::open(&sound, &Settings::default()).is_ok());
        let manifest = image.join(fs::read_to_string(image.join(CURRENT)).unwrap().trim_end());
        let whole = fs::read(&manifest).unwrap();
        let (before, mut gaps) = (tables(&image), 0);
        for end in ends(&whole) {
            fs::write(&manifest, &whole[..end]).unwrap();
            let opened = RocksStore::open(&image, &Settings::default());
            if end == whole.len() {
                assert!(opened.is_ok());
                break;
            }
            let error = opened.err().unwrap_or_else(|| panic!("it opened, cut at {end}")).to_string();
            assert_eq!(tables(&image), before, "cut at {end}: {error}");
            if !error.contains("does not name") {
                continue;
            }
            gaps += 1;
            let scratch = folder.path().join("scratch");
            let remains = RocksStore::open_remains(&image, &Settings::default(), &scratch).unwrap();
            assert!(remains.problem.unwrap().contains("does not name"));
            for number in 0..40 {
                assert_eq!(remains.store.get(&key(number)).unwrap(), Some(vec![number as u8; 90]), "cut at {end}");
            }
        }
        assert!(gaps > 0, "no cut left a gap");
    }
}
