//! What went wrong with a database, in a file beside it that outlives restarts: `incidents.jsonl`, one JSON object a line.
//!
//! Lines are only ever added, each by one synced write, and each ends with `"sum"`: the first 16 hexadecimal digits of
//! the SHA-256 of the line's text before `,"sum"`. A line that a crash cut short has none, and is passed over; the next
//! one begins on a line of its own. The numbers count up from 1.
//!
//! Not here: entering incidents into the log itself. Whoever does begins after the last number that the log has.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::backup::Digest;
use crate::names::sync_name;
use crate::regular::open_regular;

pub(crate) const FILE_NAME: &str = "incidents.jsonl";
/// Longer than any line that this program writes.
const LINE_BYTES: u64 = 1 << 20;
/// Hexadecimal digits of a line's checksum.
const SUM: usize = 16;
const SUM_KEY: &str = ",\"sum\":\"";

/// One incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Counts up from 1.
    #[serde(default)]
    pub number: u64,
    /// When it was found, in milliseconds since the epoch.
    pub time_ms: u64,
    /// `damage`, `repaired`, `halted`: for good, or `integrity`: a record failed its check when it was read;
    /// `returned`: a disclosure that was erased is there again; `settings`: the file of settings was not as the logs have it
    /// on record.
    pub event: String,
    /// The log's name; absent for what belongs to no log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// What sort of thing is bad: `bundle`, `tile`, `tail`, `root`, `hash-index`, `tables`, `rows`, `log`, `settings`; of a
    /// record `disclosure`, `leaf` or `chain`.
    pub kind: String,
    /// Its number within the kind, if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<u64>,
    /// The level of a tile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<u8>,
    /// The first entry that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
    /// One past the last entry that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<u64>,
    /// The hash that must be there, as base64; of a disclosure its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// The hash that is there, as base64, or what the store says.
    pub found: String,
}

impl Incident {
    /// The file of settings was not as the logs have it on record.
    #[must_use]
    pub fn settings(found: &str, time_ms: u64) -> Self {
        let (event, kind, found) = ("settings".to_owned(), "settings".to_owned(), found.to_owned());
        let (number, log, place, level, first, end, expected) = (0, None, None, None, None, None, None);
        Self { number, time_ms, event, log, kind, place, level, first, end, expected, found }
    }

    /// A log is halted for good: not for damage, which is mended.
    #[must_use]
    pub fn halted(log: &str, reason: &str, time_ms: u64) -> Self {
        Self {
            number: 0,
            time_ms,
            event: "halted".to_owned(),
            log: Some(log.to_owned()),
            kind: "log".to_owned(),
            place: None,
            level: None,
            first: None,
            end: None,
            expected: None,
            found: reason.to_owned(),
        }
    }
}

/// The file, open for adding to it.
#[derive(Debug)]
pub struct Incidents {
    path: PathBuf,
    last: Mutex<u64>,
}

impl Incidents {
    /// The incidents of a data folder.
    ///
    /// # Errors
    /// If there is a file that can't be read.
    pub fn open(data: &Path) -> io::Result<Self> {
        let last = read(data)?.last().map_or(0, |incident| incident.number);
        Ok(Self { path: data.join(FILE_NAME), last: Mutex::new(last) })
    }

    /// Adds one, durably, and gives its number.
    ///
    /// # Errors
    /// What the system says; the next one begins on a line of its own all the same.
    pub fn add(&self, mut incident: Incident) -> io::Result<u64> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        incident.number = *last + 1;
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&self.path)?;
        let mut line = encode(&incident)?;
        if !ends_with_newline(&mut file)? {
            line.insert(0, b'\n');
        }
        file.write_all(&line)?;
        file.sync_all()?;
        if incident.number == 1 {
            sync_name(&self.path)?;
        }
        *last = incident.number;
        Ok(incident.number)
    }
}

fn ends_with_newline(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

fn encode(incident: &Incident) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_string(incident)?;
    text.pop();
    let sum = sum_of(&text);
    text.push_str(SUM_KEY);
    text.push_str(&sum);
    text.push_str("\"}\n");
    Ok(text.into_bytes())
}

fn sum_of(text: &str) -> String {
    let mut sum = Digest::of(text.as_bytes()).to_string();
    sum.truncate(SUM);
    sum
}

/// Reads all incidents of a data folder that are whole, oldest first.
///
/// # Errors
/// If there is a file that can't be read.
pub fn read(data: &Path) -> io::Result<Vec<Incident>> {
    let file = match open_regular(&data.join(FILE_NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let (mut reader, mut incidents, mut line) = (BufReader::new(file), Vec::new(), Vec::new());
    loop {
        line.clear();
        if (&mut reader).take(LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
            return Ok(incidents);
        }
        match decode(&line) {
            Some(incident) => incidents.push(incident),
            None => tracing::warn!(after = incidents.len(), "a line of {FILE_NAME} is not whole"),
        }
    }
}

fn decode(line: &[u8]) -> Option<Incident> {
    // Only the newline may be missing: then the whole line is there all the same.
    let line = core::str::from_utf8(line).ok()?.trim_end_matches('\n').strip_suffix("\"}")?;
    let (text, sum) = line.rsplit_once(SUM_KEY)?;
    (sum == sum_of(text)).then(|| serde_json::from_str(&format!("{text}}}")).ok())?
}

/// Reads one line of the file and writes it again, with its newline; `None` if it is not whole. For the fuzz targets.
#[must_use]
pub fn line_again(line: &[u8]) -> Option<Vec<u8>> {
    encode(&decode(line)?).ok()
}

/// The damage of a log that was found and not repaired since; of the database itself for no log.
pub fn open_damage<'a>(incidents: &'a [Incident], log: Option<&'a str>) -> impl Iterator<Item = &'a Incident> {
    open_findings(incidents, log).filter(|incident| incident.event == "damage")
}

/// The same, and what failed its check when it was read.
pub fn open_findings<'a>(incidents: &'a [Incident], log: Option<&'a str>) -> impl Iterator<Item = &'a Incident> {
    let of = move |incident: &&Incident| incident.log.as_deref() == log;
    let repaired = incidents.iter().filter(of).rfind(|incident| incident.event == "repaired");
    let since = repaired.map_or(0, |incident| incident.number);
    let is_finding = |incident: &Incident| incident.event == "damage" || incident.event == "integrity";
    incidents.iter().filter(of).filter(move |incident| is_finding(incident) && incident.number > since)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn incident(event: &str, place: u64) -> Incident {
        Incident {
            number: 0,
            time_ms: 7,
            event: event.to_owned(),
            log: Some("main".to_owned()),
            kind: "bundle".to_owned(),
            place: Some(place),
            level: None,
            first: Some(256 * place),
            end: Some(256 * place + 256),
            expected: None,
            found: "a \"sum\" of,\"sum\":\"things\"}".to_owned(),
        }
    }

    #[test]
    fn whole_lines_read_back_and_a_cut_one_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let incidents = Incidents::open(folder.path()).unwrap();
        assert_eq!(incidents.add(incident("damage", 1)).unwrap(), 1);
        assert_eq!(incidents.add(incident("damage", 2)).unwrap(), 2);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let left = read(folder.path()).unwrap().len();
            let next = Incidents::open(folder.path()).unwrap().add(incident("damage", 3)).unwrap();
            assert_eq!((next, read(folder.path()).unwrap().len()), (left as u64 + 1, left + 1), "cut at {cut}");
        }
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            fs::write(&path, damaged).unwrap();
            let found = read(folder.path()).unwrap();
            assert!(found.len() < 2, "byte {place}");
        }
    }

    #[test]
    fn damage_is_open_until_it_is_repaired() {
        let mut all: Vec<_> = ["damage", "damage", "repaired", "damage"].map(|event| incident(event, 5)).into();
        (1..).zip(&mut all).for_each(|(number, incident)| incident.number = number);
        let numbers = |log| open_damage(&all, log).map(|incident| incident.number).collect::<Vec<_>>();
        assert_eq!((numbers(Some("main")), numbers(Some("other")), numbers(None)), (vec![4], vec![], vec![]));
    }
}
