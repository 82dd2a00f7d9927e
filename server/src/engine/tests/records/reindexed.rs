//! Indexes that are damaged are named by `fsck`, and made anew from what the log has.

use cairn_tree::store::{Key, KeyRange, Kind};

use super::*;
use crate::engine::postings::{Facet, Print};

const RAW: usize = 66_000;
const RECORDS: u64 = 5_000;

/// A closed database with enough entries for a run of leaf hashes, and enough records for one of postings.
fn grown() -> (Archive, LogId) {
    let mut archive = Archive::new();
    archive.world.try_append("main", &numbered(0..RAW), None).unwrap();
    for first in (0..RECORDS).step_by(1_000) {
        let plans: Vec<Plan> = (first..first + 1_000).map(|id| Plan::new((id % 5) as u8, id)).collect();
        archive.try_record(&plans, None).unwrap();
    }
    let log = archive.log().info().id;
    archive.world.stop();
    (archive, log)
}

fn problem(archive: &Archive) -> Option<String> {
    fsck(&options(archive.world.path()), &mut |_, _, _| {}).unwrap().remove(0).problem
}

fn rebuild(archive: &Archive) -> Vec<Reindexed> {
    let mut done = Vec::new();
    reindex(&options(archive.world.path()), None, &mut |log| done.push(log)).unwrap();
    done
}

/// Changes the first row of a kind.
fn damage(archive: &Archive, log: LogId, kind: Kind, change: impl FnOnce(&Key, Vec<u8>) -> Batch) {
    let rocks = RocksStore::open(&archive.world.path().join("db"), &Settings::default()).unwrap();
    let (key, row) = rocks.scan(&KeyRange::all(log, kind), 1).unwrap().remove(0);
    rocks.commit(change(&key, row)).unwrap();
}

/// Everything is found again by the server that is started then.
fn find_all(archive: &mut Archive) {
    let path = archive.world.path().to_owned();
    archive.world.engine = Engine::open(&options(&path), Arc::new(SystemClock), Arc::new(Unobserved)).unwrap();
    let log = archive.log();
    for number in [0, 1_000, RAW - 1] {
        let leaf = Hash::leaf(format!("entry {number}").as_bytes());
        assert_eq!(log.find(&log.head(), &leaf).unwrap().map(LeafIndex::get), Some(number as u64));
    }
    let print = |facet, value: &str| Print::new(&archive.secret, facet, &[value]);
    let hits = found(&log, &[print(Facet::Tenant, "pb"), print(Facet::Object, "object 3")]);
    let expected: Vec<u64> = (0..RECORDS).rev().filter(|id| id % 5 == 3).map(|id| RAW as u64 + id).collect();
    assert_eq!(hits.iter().map(|index| index.get()).collect::<Vec<_>>(), expected);
    for number in [0, 17, RECORDS - 1] {
        let index = LeafIndex::new(RAW as u64 + number).unwrap();
        assert_eq!(found(&log, &[id_print(&archive.secret, id(number))]), [index]);
    }
    drop(log);
    archive.world.stop();
}

#[test]
fn damaged_indexes_are_named_and_made_anew_from_the_log() {
    let (mut archive, log) = grown();
    assert_eq!(problem(&archive), None);
    let size = TreeSize::new(RAW as u64 + RECORDS).unwrap();
    let all = vec![Reindexed { log: "main".to_owned(), size, hash_index: true, records: true, damaged: Vec::new() }];
    assert_eq!(rebuild(&archive), all);
    assert_eq!(problem(&archive), None);
    find_all(&mut archive);

    let put = |key: &Key, row: Vec<u8>| {
        let mut batch = Batch::new();
        batch.put(key.clone(), row);
        batch
    };
    let flip = |key: &Key, mut row: Vec<u8>| {
        let middle = row.len() / 2;
        row[middle] ^= 1;
        put(key, row)
    };
    damage(&archive, log, Kind::PostingRun, flip);
    assert!(problem(&archive).is_some_and(|problem| problem.contains("a block does not fit its checksum")));
    assert_eq!(rebuild(&archive), all);
    assert_eq!(problem(&archive), None);

    damage(&archive, log, Kind::IndexRun, flip);
    assert!(problem(&archive).is_some_and(|problem| problem.contains("hash index run")));
    // A manifest that nobody can read does not keep its runs.
    for kind in [Kind::PostingManifest, Kind::IndexManifest] {
        damage(&archive, log, kind, |key, _| put(key, vec![9]));
        assert!(problem(&archive).is_some(), "{kind:?}");
    }
    assert_eq!(rebuild(&archive), all);
    assert_eq!(problem(&archive), None);
    find_all(&mut archive);
}

#[test]
fn only_the_log_that_is_named_is_made_anew() {
    let mut archive = Archive::new();
    archive.world.create(Terms { hash_index: false, ..terms("other") }, 2).unwrap();
    archive.world.append("other", &numbered(0..3));
    archive.world.stop();
    let rebuild = |only| {
        let mut done = Vec::new();
        let ended = reindex(&options(archive.world.path()), Some(only), &mut |log| done.push(log));
        ended.map(|()| done).map_err(|error| error.to_string())
    };
    let size = TreeSize::new(3).unwrap();
    let other = Reindexed { log: "other".to_owned(), size, hash_index: false, records: false, damaged: Vec::new() };
    assert_eq!(rebuild("other"), Ok(vec![other]));
    assert_eq!(rebuild("another"), Err("there is no log named another".to_owned()));
}
