//! One and the same damage, as everybody sees it: what `fsck` names, a read refuses and the scrubber finds, wherever in a row
//! of disclosures a byte has flipped.

use std::sync::Arc;

use cairn_tree::store::{Batch, Key, KeyRange, Kind};

use super::*;
use crate::engine::CheckRecords as _;
use crate::incidents::{self, Incidents};
use crate::records::{RecordScrub, Reporter, Unverified, verified};

fn put(archive: &Archive, key: &Key, row: Option<&[u8]>) {
    let mut batch = Batch::new();
    match row {
        Some(row) => batch.put(key.clone(), row.to_vec()),
        None => batch.delete(key.clone()),
    }
    archive.world.engine.inner.rocks.commit(batch).unwrap();
}

/// Whether `fsck` names something, a read refuses some record, and the scrubber finds something, which it writes down.
fn found(archive: &Archive) -> (bool, bool, bool) {
    let log = archive.log();
    let head = log.head();
    let told = log.fsck(&mut |_| {}).problem.is_some();
    let refused = (0..head.size.get()).any(|index| {
        let stored = log.stored_record(&head, LeafIndex::new(index).unwrap()).unwrap().unwrap();
        matches!(verified(&log, &head, stored), Err(Unverified::Broken(_)))
    });
    let folder = tempfile::tempdir().unwrap();
    let incidents = Arc::new(Incidents::open(folder.path()).unwrap());
    let reporter = Reporter::open(folder.path(), incidents, Arc::new(SystemClock)).unwrap();
    let scrub = RecordScrub::new(Arc::new(reporter));
    let checked = scrub.check(&log, 0..head.size.get());
    let lines = incidents::read(folder.path()).unwrap();
    assert_eq!(lines.len() as u64, checked.findings);
    assert!(lines.iter().all(|line| (line.event.as_str(), line.kind.as_str()) == ("integrity", "disclosure")));
    assert_eq!(checked.unreadable, Vec::<String>::new());
    // Once only, by one who knows it.
    assert_eq!(scrub.check(&log, 0..head.size.get()).findings, 0);
    (told, refused, checked.findings > 0)
}

#[test]
fn whoever_looks_at_a_damaged_row_finds_it() {
    let mut archive = Archive::new();
    archive.record(&[Plan::new(1, 1), Plan::new(2, 2), Plan::new(1, 3)]);
    let id = archive.log().info().id;
    let rows = archive.world.engine.inner.rocks.scan(&KeyRange::all(id, Kind::Disclosures), 10).unwrap();
    let [(key, row)] = &rows[..] else { panic!("one commit, one row") };
    assert_eq!(found(&archive), (false, false, false));
    // Each byte of what stands before the first record's, then some of all.
    for at in (0..40).chain((40..row.len()).step_by(23)) {
        let mut flipped = row.clone();
        flipped[at] ^= if at % 2 == 0 { 1 } else { 0x80 };
        put(&archive, key, Some(&flipped));
        assert_eq!(found(&archive), (true, true, true), "byte {at}");
    }
    put(&archive, key, Some(&row[..row.len() - 1]));
    assert_eq!(found(&archive), (true, true, true), "cut");
    put(&archive, key, None);
    assert_eq!(found(&archive), (true, true, true), "gone");
    put(&archive, key, Some(row));
    assert_eq!(found(&archive), (false, false, false));
}
