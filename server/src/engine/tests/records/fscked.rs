//! What `fsck` says of records: nothing if they are sound, and else where the first problem is.

use cairn_tree::record::leaf::{Leaf, assemble};
use cairn_tree::record::server_part::{LaterSeq, Place, ServerPart};
use cairn_tree::store::{Key, KeyRange, Kind};

use super::*;
use crate::engine::postings::PrintRow;

fn problem(world: &World) -> Option<String> {
    let log = world.engine.log("main").unwrap();
    log.fsck(&mut |_| {}).problem
}

/// More records than are held at a time, so that streams and ids are read in several passes.
fn archive() -> Archive {
    let mut archive = Archive::new();
    archive.world.append("main", &numbered(0..7));
    let plans: Vec<Plan> =
        (0..350).map(|id| Plan { says: (id % 9) as u16, ..Plan::new((id % 13) as u8, id) }).collect();
    archive.record(&plans);
    archive
}

#[test]
fn sound_records_are_sound() {
    let mut archive = archive();
    assert_eq!(problem(&archive.world), None);
    archive.world.stop();
    let findings = fsck(&options(archive.world.path()), &mut |_, _, _| {}).unwrap();
    assert_eq!(findings.iter().find_map(|finding| finding.problem.clone()), None);
}

/// A check goes up to the head that there was when it began.
#[test]
fn records_that_come_during_a_check_are_no_finding_of_it() {
    let mut archive = archive();
    let log = archive.log();
    let (mut came, before) = (0, log.head().size);
    let finding = log.fsck(&mut |_| {
        archive.record(&[Plan::new(1, 900 + came)]);
        came += 1;
    });
    assert_eq!((finding.problem, finding.size), (None, before));
    assert!(came > 0 && log.head().size > before, "nothing came meanwhile");
}

/// Leaves that no sequencer of ours would have made, put into the log as other entries are.
#[test]
fn records_that_contradict_each_other_are_named() {
    type Forge = fn(&Leaf, Hash) -> (Plan, ServerPart);
    let forge: [(Forge, &str); 5] = [
        (|leaf, hash| (Plan::new(1, 3), next(leaf, 26, hash)), "has the id"),
        (
            |leaf, hash| (Plan::new(1, 900), next(leaf, 27, hash)),
            "is number 28 of its stream, where number 27 comes next",
        ),
        (
            |leaf, hash| (Plan::new(1, 900), next(leaf, 25, hash)),
            "is number 26 of its stream, where number 27 comes next",
        ),
        (|leaf, _| (Plan::new(1, 900), next(leaf, 26, Hash::leaf(b"other"))), "does not go on from the one before it"),
        (
            |leaf, hash| {
                let earlier = Time::from_millis(999_999).unwrap();
                (Plan::new(1, 900), ServerPart { time: earlier, ..next(leaf, 26, hash) })
            },
            "was sequenced at",
        ),
    ];
    for (forge, expected) in forge {
        let mut archive = archive();
        let log = archive.log();
        let last = archive.acked.values().filter(|acked| acked.sequenced.seq.get() == 26).map(|acked| acked.sequenced);
        let last = last.min_by_key(|sequenced| sequenced.index).unwrap();
        let stored = log.stored_record(&log.head(), last.index).unwrap().unwrap();
        let leaf = Leaf::decode(&stored.leaf).unwrap();
        let (plan, server) = forge(&leaf, Hash::leaf(&stored.leaf));
        let event = archive.submissions(&[plan]).remove(0).event;
        let forged = assemble(&event, &server, None).unwrap();
        archive.world.try_append("main", &[forged], None).unwrap();
        let problem = problem(&archive.world).unwrap();
        assert!(problem.contains("record 357") && problem.contains(expected), "{problem}");
    }
}

fn next(leaf: &Leaf, seq: u64, prev: Hash) -> ServerPart {
    let place = Place::After { seq: LaterSeq::after(Seq::new(seq).unwrap()).unwrap(), prev };
    ServerPart { place, ..*leaf.server() }
}

/// A second stream of one object, under another salt.
#[test]
fn a_second_stream_of_one_name_is_named() {
    let archive = archive();
    let mut submission = archive.submissions(&[Plan::new(1, 900)]).remove(0);
    // The writer knows names by their prints only, and is told that this is another one.
    submission.stream = name_print(&archive.secret, &StreamName::parse(r#"["named","pb","other"]"#).unwrap());
    let name = StreamName::parse(r#"["entity","pb","tl","license","object 1"]"#).unwrap();
    submission.opening = Opening::new(&name, None, None, salts("another")).unwrap();
    archive.world.runtime.block_on(archive.log().append_records(vec![submission], None)).unwrap();
    assert_eq!(problem(&archive.world), Some("record 357 begins a second stream of one name".to_owned()));
}

#[test]
fn disclosures_that_are_lost_changed_or_of_nothing_are_named() {
    let mut archive = archive();
    let id = archive.log().info().id;
    archive.world.stop();
    let rocks = RocksStore::open(&archive.world.path().join("db"), &Settings::default()).unwrap();
    let rows = rocks.scan(&KeyRange::all(id, Kind::Disclosures), 1_000).unwrap();
    assert!(rows.len() > 10);
    let secret = PrintRow::key(id);
    let print_row = rocks.get(&secret).unwrap().unwrap();
    drop(rocks);
    let path = archive.world.path().to_owned();
    let with = |key: &Key, row: Option<Vec<u8>>| {
        let rocks = RocksStore::open(&path.join("db"), &Settings::default()).unwrap();
        let mut batch = Batch::new();
        match row {
            Some(row) => batch.put(key.clone(), row),
            None => batch.delete(key.clone()),
        }
        rocks.commit(batch).unwrap();
        drop(rocks);
        fsck(&options(&path), &mut |_, _, _| {}).unwrap()[0].problem.clone()
    };
    let (key, row) = &rows[3];
    let mut flipped = row.clone();
    let middle = row.len() / 2;
    flipped[middle] ^= 1;
    let told = with(key, Some(flipped)).unwrap();
    assert!(told.contains("a disclosure of record ") && told.contains("was changed"), "{told}");
    let told = with(key, None).unwrap();
    assert!(told.contains("lacks disclosures, and no redaction record"), "{told}");
    let told = with(key, Some(row[..row.len() - 1].to_vec())).unwrap();
    assert!(told.contains("the disclosures row is damaged"), "{told}");
    assert_eq!(with(key, Some(row.clone())), None);
    // Of an entry that is no record.
    let (stray, mut bytes) = (Key::numbered(id, Kind::Disclosures, 5), vec![1]);
    bytes.extend_from_slice(&5_u64.to_be_bytes());
    bytes.extend_from_slice(&[0; 8]);
    let told = with(&stray, Some(bytes)).unwrap();
    assert!(told.contains("there are disclosures of 351 records, but 350 records have any"), "{told}");
    assert_eq!(with(&stray, None), None);
    let told = with(&secret, None).unwrap();
    assert!(told.contains("the key of the records' prints is missing"), "{told}");
    assert_eq!(with(&secret, Some(print_row)), None);
}
