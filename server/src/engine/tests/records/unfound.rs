//! What is said of the records that a search may miss, while they are looked into.

use core::cell::Cell;

use cairn_tree::record::kind::REDACTION;
use cairn_tree::record::reserved::OWN_MODULE;
use cairn_tree::store::{Key, Kind, StoreError};

use super::*;
use crate::engine::postings::{Facet, PostingsError, Print};
use crate::engine::records::{Completeness, Lack};

/// Three records, of which nothing is kept of the one at 1.
fn damaged() -> Archive {
    let mut archive = Archive::new();
    for id in 0..3 {
        archive.record(&[Plan::new(id as u8, id)]);
    }
    let log = archive.log().info().id;
    archive.world.stop();
    let path = archive.world.path().to_owned();
    let rocks = RocksStore::open(&path.join("db"), &Settings::default()).unwrap();
    let mut batch = Batch::new();
    batch.delete(Key::numbered(log, Kind::Disclosures, 1));
    rocks.commit(batch).unwrap();
    drop(rocks);
    archive.world.engine = Engine::open(&options(&path), Arc::new(SystemClock), Arc::new(Unobserved)).unwrap();
    archive
}

/// A record that is found as a redaction record is.
fn redacted(archive: &Archive, id: u64) {
    let mut submissions = archive.submissions(&[Plan::new(9, id)]);
    let print = |facet, value: &str| Print::new(&archive.secret, facet, &[value]);
    submissions[0].prints.extend([print(Facet::Operation, REDACTION), print(Facet::Module, OWN_MODULE)]);
    let log = archive.log();
    archive.world.runtime.block_on(async move { log.append_records(submissions, None).await }).unwrap();
}

fn failure() -> PostingsError {
    PostingsError::Read(ReadError::Store(StoreError::Io("not just now".to_owned())))
}

fn completeness(to: u64, except: &[u64]) -> Completeness {
    let except = except.iter().map(|index| LeafIndex::new(*index).unwrap()).collect();
    Completeness { to: TreeSize::new(to).unwrap(), except }
}

#[test]
fn a_failure_while_they_are_looked_into_forgets_none_of_them() {
    let archive = damaged();
    let log = archive.log();
    let bad = |_| Ok::<_, PostingsError>(Lack::Damaged(None));
    // Neither at first sight,
    assert!(log.completeness("pb", &|_| Err(failure())).is_err());
    assert_eq!(log.completeness("pb", &bad).unwrap(), completeness(3, &[1]));
    // nor when they are looked into again.
    redacted(&archive, 3);
    assert!(log.completeness("pb", &|_| Err(failure())).is_err());
    assert_eq!(log.completeness("pb", &bad).unwrap(), completeness(4, &[1]));
    redacted(&archive, 4);
    let asked = Cell::new(0);
    let erased = |_| {
        asked.set(asked.get() + 1);
        Ok::<_, PostingsError>(Lack::Excused)
    };
    assert_eq!(log.completeness("pb", &erased).unwrap(), completeness(5, &[]));
    assert_eq!(asked.get(), 1);
    assert_eq!(log.completeness("pb", &erased).unwrap(), completeness(5, &[]));
    assert_eq!(asked.get(), 1);
}

#[test]
fn they_are_looked_into_by_one_at_a_time_and_nobody_waits_for_that() {
    let archive = damaged();
    let log = archive.log();
    let meanwhile = Cell::new(None);
    let look = |index: LeafIndex| {
        assert_eq!(index.get(), 1);
        let unasked = |_| -> Result<Lack, PostingsError> { panic!("another one is at it") };
        meanwhile.set(Some(log.completeness("pb", &unasked).unwrap()));
        Ok::<_, PostingsError>(Lack::Damaged(None))
    };
    assert_eq!(log.completeness("pb", &look).unwrap(), completeness(3, &[1]));
    // Up to the record that is being looked into.
    assert_eq!(meanwhile.take(), Some(completeness(1, &[])));
    redacted(&archive, 3);
    assert_eq!(log.completeness("pb", &look).unwrap(), completeness(4, &[1]));
    assert_eq!(meanwhile.take(), Some(completeness(4, &[1])));
    // Without another redaction record nothing is looked into again.
    assert_eq!(log.completeness("pb", &look).unwrap(), completeness(4, &[1]));
    assert_eq!(meanwhile.take(), None);
}

#[test]
fn whose_they_are_nobody_else_is_told() {
    let archive = damaged();
    let log = archive.log();
    let of = |tenant: Option<&'static str>| move |_| Ok::<_, PostingsError>(Lack::Damaged(tenant.map(Arc::from)));
    assert_eq!(log.completeness("pb", &of(Some("pb"))).unwrap(), completeness(3, &[1]));
    assert_eq!(log.completeness("mh", &of(Some("pb"))).unwrap(), completeness(3, &[]));
    redacted(&archive, 3);
    for tenant in ["pb", "mh"] {
        assert_eq!(log.completeness(tenant, &of(None)).unwrap(), completeness(4, &[1]));
    }
}

/// Records of which 256 are in a finished bundle, and the rest in the tree's unfinished edge.
#[test]
fn an_entry_that_is_read_wrongly_once_is_found_as_ever_and_one_that_stays_wrong_is_told() {
    const RECORDS: u64 = 300;
    let mut archive = Archive::new();
    let plans: Vec<Plan> = (0..RECORDS).map(|id| Plan::new((id % 5) as u8, id)).collect();
    archive.try_record(&plans, None).unwrap();
    let log = archive.log().info().id;
    for kind in [Kind::BundlePart, Kind::Piece] {
        let store = archive.world.reopen_faulty();
        store.flip_reads(log, kind, 1);
        let reader = archive.log();
        for number in 0..RECORDS {
            assert_eq!(found(&reader, &[id_print(&archive.secret, id(number))]).len(), 1, "{kind:?} {number}");
        }
        assert_eq!((store.fired(), reader.unfound_from()), (1, None), "{kind:?}");
        drop((reader, store));
        archive.try_record(&[Plan::new(7, 1_000)], None).unwrap();
        archive.check();

        let store = archive.world.reopen_faulty();
        store.flip_reads(log, kind, u64::MAX);
        let reader = archive.log();
        let missing =
            (0..RECORDS).filter(|number| found(&reader, &[id_print(&archive.secret, id(*number))]).is_empty());
        assert!(missing.count() <= 1 && store.fired() > 1, "{kind:?}");
        let bundle = reader.unfound_from().map(|index| index.get() / 256);
        assert_eq!(bundle, Some(u64::from(kind == Kind::Piece)), "{kind:?}");
        store.flip_reads(log, kind, 0);
        drop((reader, store));
        let refused = archive.try_record(&[Plan::new(8, 2_000)], None).unwrap_err();
        assert!(matches!(refused, RecordError::Read(ReadError::Damaged { .. })), "{refused:?}");
    }
}
