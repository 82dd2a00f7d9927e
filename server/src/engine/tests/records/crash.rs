//! What breaks between any two steps leaves either all of a record, its leaf, its disclosures and its idempotency key, or
//! nothing of it; and what is wrong in the store is never signed.

use super::super::pipeline::wait_until;
use super::*;

const ROWS_OF_RECORDS: [Row; 5] = [Row::Bundle, Row::Piece, Row::Tile, Row::Head, Row::Disclosures];

fn plans(range: core::ops::Range<u64>) -> Vec<Plan> {
    range.map(|id| Plan { says: (id % 5) as u16, ..Plan::new((id % 3) as u8, id) }).collect()
}

/// How many rows of disclosures, and parts of bundles, there are from an index on.
fn rows_from(archive: &Archive, index: u64) -> usize {
    use cairn_tree::store::{KeyRange, Kind};
    let log = archive.log().info().id;
    let rocks = &archive.world.engine.inner.rocks;
    let rows = |kind| rocks.scan(&KeyRange::numbers(log, kind, index..u64::MAX), 1_000).unwrap().len();
    rows(Kind::Disclosures) + rows(Kind::BundlePart)
}

#[test]
fn a_flipped_bit_on_the_way_to_the_store_is_never_signed() {
    for row in ROWS_OF_RECORDS {
        let mut archive = Archive::new();
        archive.record(&plans(0..250));
        let store = archive.world.reopen_faulty();
        store.arm(Fault { flip: Some(row), unknown: None });
        let refused = archive.try_record(&plans(250..300), Some(archive.key("key", 1))).unwrap_err();
        assert_eq!(store.fired(), 1, "{row:?}");
        assert!(matches!(refused, RecordError::Append(AppendError::Halted(_))), "{row:?}: {refused:?}");
        drop(store);
        for _ in 0..2 {
            let log = archive.log();
            assert!(matches!(log.state(), LogState::Halted(_)));
            assert_eq!(log.head().size.get(), 250);
            assert_eq!(rows_from(&archive, 250), 0, "{row:?}: what was taken back is gone");
            archive.check();
            let refused = archive.try_record(&plans(300..301), None).unwrap_err();
            assert!(matches!(refused, RecordError::Append(AppendError::Halted(_))));
            drop(log);
            archive.reopen();
        }
    }
}

#[test]
fn a_failed_fsync_leaves_all_of_a_record_or_nothing() {
    for (written, there) in [(Written::Yes, true), (Written::No, false)] {
        let mut archive = Archive::new();
        archive.record(&plans(0..10));
        let store = archive.world.reopen_faulty();
        store.arm(Fault { flip: None, unknown: Some(written) });
        let key = archive.key("key", 1);
        let error = archive.try_record(&plans(10..20), Some(key)).unwrap_err();
        assert!(matches!(error, RecordError::Append(AppendError::Stopping(_))), "{error:?}");
        assert_eq!(store.fired(), 1);
        assert_eq!(archive.log().head().size.get(), 10);
        drop(store);
        archive.reopen();
        assert_eq!(archive.log().head().size.get(), if there { 20 } else { 10 });
        assert_eq!(rows_from(&archive, 10) > 0, there);
        // The retry is exact whatever happened, and once more by the ids alone.
        let retry = archive.try_record(&plans(10..20), Some(key)).unwrap();
        assert_eq!(retry.replayed, there);
        assert_eq!(retry.records[0].index.get(), 10);
        archive.check();
        let again = archive.try_record(&plans(10..20), None).unwrap();
        assert!(again.records.iter().all(|record| record.replayed));
        assert_eq!(archive.log().head().size.get(), 20);
    }
}

/// The power fails while commits stand in the store that nobody was told of, the last of them perhaps damaged.
#[test]
fn a_kill_between_the_stages_leaves_all_of_a_record_or_nothing() {
    for row in ROWS_OF_RECORDS.map(Some).into_iter().chain([None]) {
        let mut archive = Archive::new();
        archive.record(&plans(0..250));
        let gate = Gate::default();
        let store = archive.world.reopen_behind(&gate);
        gate.shut();
        let first = archive.send(&plans(250..300), Some(archive.key("first", 1)));
        wait_until(|| archive.world.size_in_store("main") == 300);
        gate.wait_for_write();
        if row.is_some() {
            store.arm(Fault { flip: row, unknown: None });
        }
        let begun = store.begun();
        let second = archive.send(&plans(300..700), Some(archive.key("second", 2)));
        wait_until(|| store.begun() > begun && archive.world.size_in_store("main") == 700);
        let mut after = archive.copy();
        let sound = row.is_none();
        assert_eq!(after.log().head().size.get(), if sound { 700 } else { 250 }, "{row:?}");
        assert_eq!(rows_from(&after, 250) > 0, sound, "{row:?}");
        after.check();
        let retry = after.try_record(&plans(250..300), Some(after.key("first", 1)));
        assert_eq!(retry.is_ok_and(|retry| retry.replayed), sound, "{row:?}");
        after.world.stop();
        let findings = fsck(&options(after.world.path()), &mut |_, _, _| {}).unwrap();
        assert!(findings.iter().all(|finding| !finding.damaged), "{row:?}: {findings:?}");
        // At work: what came before the damage is released, and the log ends with it.
        gate.open();
        archive.answer(first, &plans(250..300)).unwrap();
        let second = archive.answer(second, &plans(300..700));
        assert_eq!(second.is_ok(), sound, "{row:?}: {second:?}");
        drop(store);
        archive.check();
        assert_eq!(archive.log().head().size.get(), if sound { 700 } else { 300 });
        assert_eq!(rows_from(&archive, 300) > 0, sound, "{row:?}");
        archive.reopen();
    }
}

/// A record that would be the second of its stream, whose first one the store then turns out not to have kept: neither is
/// there, nor told of.
#[test]
fn a_refusal_that_rests_on_a_record_that_never_came_to_be_says_so() {
    let mut archive = Archive::new();
    archive.record(&plans(0..3));
    let store = archive.world.reopen_faulty();
    store.arm(Fault { flip: Some(Row::Disclosures), unknown: None });
    let gathered = store.fault.lock().unwrap();
    let begun = store.begun();
    let second = archive.send(&[Plan::new(7, 71)], None);
    wait_until(|| store.begun() > begun);
    let expected = Expectation { seq: Some(None), prev: None };
    let third = archive.send(&[Plan { expected, ..Plan::new(7, 72) }], None);
    wait_until(|| archive.world.engine.queue_depth() == 1);
    drop(gathered);
    for (sent, number) in [(second, 71), (third, 72)] {
        let answer = archive.answer(sent, &[Plan::new(7, number)]);
        assert!(matches!(answer, Err(RecordError::Append(AppendError::Halted(_)))), "{number}: {answer:?}");
    }
    assert_eq!(archive.log().head().size.get(), 3);
    archive.check();
}

/// Disclosures that can't be read concern who asks for them: the log goes on, and says what it can't read.
#[test]
fn damaged_disclosures_are_no_records() {
    use cairn_tree::store::{KeyRange, Kind};
    let mut archive = Archive::new();
    archive.record(&plans(0..20));
    let log = archive.log();
    let rocks = Arc::clone(&archive.world.engine.inner.rocks);
    let rows = rocks.scan(&KeyRange::all(log.info().id, Kind::Disclosures), 1_000).unwrap();
    let (key, row) = rows[0].clone();
    archive.world.stop();
    drop((log, rocks));
    let rocks = RocksStore::open(&archive.world.path().join("db"), &Settings::default()).unwrap();
    let mut batch = Batch::new();
    batch.put(key, row[..row.len() - 1].to_vec());
    rocks.commit(batch).unwrap();
    drop(rocks);
    archive.world.reopen().unwrap();
    let log = archive.log();
    let has_any = |index| !log.stored_record(&log.head(), index).unwrap().unwrap().disclosures.is_empty();
    assert!(!has_any(LeafIndex::ZERO));
    assert_eq!(has_any(LeafIndex::new(19).unwrap()), rows.len() > 1);
}
