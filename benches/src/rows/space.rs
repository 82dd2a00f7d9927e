//! What an entry takes on disk beyond its own bytes, when nothing is left to compact.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use cairn_rocks::RocksStore;

use crate::Settings;
use crate::engine::{Appender, HashIndex, Until, options};
use crate::payload::{ENTRY, Payload};
use crate::report::Row;

/// Fills a log, compacts its database, and weighs the folder.
///
/// # Errors
/// Whatever the engine or the disk says.
pub(crate) fn measure(settings: &Settings, hash_index: HashIndex) -> anyhow::Result<Row> {
    let payload = Arc::new(Payload::new(u64::from(std::process::id())));
    let folder = settings.folder()?;
    let appender = Appender::create(folder.path(), hash_index)?;
    let appended = appender.append(&payload, Until::Size(settings.entries))?;
    appender.settle();
    let size = appender.size();
    drop(appender);
    let options = options(folder.path());
    let before = bytes_in(folder.path())?;
    let store = RocksStore::open(&options.database_path(), &options.settings)?;
    store.compact()?;
    let stats = store.stats();
    drop(store);
    // What compaction replaced goes when the database is next opened.
    drop(RocksStore::open(&options.database_path(), &options.settings)?);
    let after = bytes_in(folder.path())?;
    let beyond = |bytes: u64| bytes as f64 / size as f64 - ENTRY as f64;
    let (index, target, most) = match hash_index {
        HashIndex::With => ("with", "<= 60", 60.0),
        HashIndex::Without => ("without", "<= 40", 40.0),
    };
    eprintln!("  {size} entries: {:.1} bytes beyond the entry", beyond(after));
    let mut notes =
        vec![format!("before compaction {:.1} bytes; filled at {:.0} entries/s", beyond(before), appended.rate())];
    notes.extend(stats.families.iter().filter(|family| family.table_bytes > 0).map(|family| {
        format!("tables of `{}`: {:.2} bytes per entry", family.name, family.table_bytes as f64 / size as f64)
    }));
    Ok(Row {
        name: format!("space, {index} the hash index"),
        what: format!("bytes on disk per entry beyond its 300, {size} entries, compacted"),
        cairn: beyond(after),
        bare: None,
        ratio: None,
        spread: None,
        target: target.to_owned(),
        met: Some(beyond(after) <= most),
        notes,
    })
}

/// The bytes of all files in a folder and below.
fn bytes_in(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_in(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
