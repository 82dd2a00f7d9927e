//! What works: streams, chains within a request, retries, ids that come again, restarts, and mixing with other entries.

use super::*;

#[test]
fn records_chain_in_their_streams_within_requests_and_over_restarts() {
    let mut archive = Archive::new();
    let first = archive.record(&[Plan::new(1, 1), Plan::new(2, 2), Plan::new(1, 3)]);
    let seqs = |recorded: &Recorded| recorded.records.iter().map(|record| record.seq.get()).collect::<Vec<_>>();
    assert_eq!(seqs(&first), [0, 0, 1]);
    assert_eq!(first.records[2].prev, Some(first.records[0].leaf));
    assert_eq!(first.records[2].stream, first.records[0].stream);
    assert_ne!(first.records[1].stream, first.records[0].stream);
    let second = archive.record(&[Plan::new(2, 4), Plan::new(1, 5)]);
    assert_eq!(seqs(&second), [1, 2]);
    archive.reopen();
    let third = archive.record(&[Plan::new(1, 6), Plan::new(1, 7), Plan::new(3, 8)]);
    assert_eq!(seqs(&third), [3, 4, 0]);
    assert_eq!(third.records[0].prev, Some(second.records[1].leaf));
    archive.reopen();
}

/// So many, and so long, that bundles become full and rows of disclosures are of all lengths.
#[test]
fn records_of_all_lengths_fill_bundles_and_rows() {
    let mut archive = Archive::new();
    let mut next = 0;
    for count in [1, 2, 300, 17, 250, 1] {
        let plans: Vec<Plan> = (next..next + count)
            .map(|id| Plan { says: (id * 7 % 256) as u16, ..Plan::new((id % 11) as u8, id) })
            .collect();
        archive.record(&plans);
        next += count;
    }
    // One of a quarter of a megabyte has a row of its own.
    archive.record(&[Plan { says: 6_000, ..Plan::new(1, 9_000) }, Plan::new(1, 9_001)]);
    archive.reopen();
    let all: Vec<LeafIndex> = (0..next).map(|index| LeafIndex::new(index).unwrap()).collect();
    let log = archive.log();
    let some: Vec<_> =
        log.stored_records(&log.head(), &all, 100_000).unwrap().into_iter().map(Result::unwrap).collect();
    let bytes: usize = some.iter().map(|record| record.leaf.len() + record.disclosures.as_str().len()).sum();
    assert!(some.len() < all.len() && bytes <= 100_000 && bytes > 80_000, "{bytes}");
    assert!(some.iter().zip(&all).all(|(record, index)| record.index == *index));
    assert_eq!(log.stored_records(&log.head(), &all[..1], 0).unwrap().len(), 1);
    assert_eq!(log.stored_record(&log.head(), LeafIndex::new(next + 2).unwrap()), Ok(None));
}

/// Of a bundle with records only a part is read for one of them; other bundles are kept whole.
#[test]
fn one_record_is_read_without_two_hundred_others() {
    use cairn_tree::store::{KeyRange, Kind};
    let mut archive = Archive::new();
    archive.world.append("main", &vec![vec![7; 300]; 256]);
    // A bundle that comes in pieces, and one that comes whole, up to the beginning of a third.
    for range in [0..100, 100..200, 200..530] {
        let plans: Vec<Plan> = range.map(|id| Plan::new((id % 7) as u8, id)).collect();
        archive.record(&plans);
    }
    archive.reopen();
    let log = archive.log();
    let rocks = Arc::clone(&archive.world.engine.inner.rocks);
    let scan = |kind| rocks.scan(&KeyRange::all(log.info().id, kind), 10_000).unwrap();
    let (bundles, parts) = (scan(Kind::Bundle), scan(Kind::BundlePart));
    assert_eq!(bundles.iter().map(|(key, _)| key.number().unwrap()).collect::<Vec<_>>(), [0]);
    assert!(parts.len() > 20 && parts.iter().all(|(_, part)| part.len() <= bounds::BUNDLE_PART_BYTES));
    let lasts: Vec<u64> = parts.iter().filter_map(|(key, _)| key.number()).collect();
    assert!(lasts.contains(&511) && lasts.last() == Some(&767));
    drop((log, rocks));
    let store = archive.world.reopen_faulty();
    let log = archive.log();
    let head = log.head();
    assert!(log.print_secret().unwrap().is_some());
    store.reads_of(|_| true);
    for index in [256, 300, 511, 512, 700, 767] {
        assert!(log.entry(&head, LeafIndex::new(index).unwrap()).unwrap().is_some());
    }
    assert_eq!(store.reads_of(|kind| kind != Kind::BundlePart), 0);
    for index in [0, 255, 780] {
        assert!(log.entry(&head, LeafIndex::new(index).unwrap()).unwrap().is_some());
    }
    drop((log, store));
    archive.reopen();
    archive.world.stop();
    assert_eq!(fsck(&options(archive.world.path()), &mut |_, _, _| {}).unwrap()[0].problem, None);
}

/// Bundles that were put together from their parts or pieces, or cut to a width: the cache knows only how long they are.
#[test]
fn a_bundle_at_hand_takes_no_more_memory_than_it_is_long() {
    use cairn_tree::tile::{BundleCoord, Width};
    let mut archive = Archive::new();
    for range in [0..300, 300..310, 310..350] {
        let plans: Vec<Plan> = range.map(|id| Plan { says: 20, ..Plan::new((id % 7) as u8, id) }).collect();
        archive.record(&plans);
    }
    archive.reopen();
    let log = archive.log();
    let head = log.head();
    let widths = [(0, 256), (0, 3), (0, 130), (1, 94), (1, 50)];
    let coord = |(number, width)| BundleCoord::new(number, Width::new(width).unwrap()).unwrap();
    let bundles = widths.map(|place| log.bundle(&head, coord(place)).unwrap().unwrap());
    assert!(bundles.iter().all(|bundle| bundle.len() > 1_000));
    drop((log, head));
    // Nobody else has them then.
    archive.world.stop();
    for bundle in bundles {
        let length = bundle.len();
        assert_eq!(bundle.try_into_mut().unwrap().capacity(), length);
    }
}

#[test]
fn records_and_other_entries_share_a_log() {
    let mut archive = Archive::new();
    archive.world.append("main", &numbered(0..10));
    archive.record(&[Plan::new(1, 1)]);
    archive.world.append("main", &numbered(10..300));
    let recorded = archive.record(&[Plan::new(1, 2), Plan::new(2, 3)]);
    assert_eq!(recorded.records[0].index.get(), 301);
    archive.reopen();
    let log = archive.log();
    let raw = log.stored_record(&log.head(), LeafIndex::new(5).unwrap()).unwrap().unwrap();
    assert_eq!((raw.leaf.as_ref(), raw.disclosures.len()), (b"entry 5".as_slice(), 0));
    // They are found by their leaf hashes as other entries are.
    for record in &recorded.records {
        assert_eq!(log.find(&log.head(), &record.leaf), Ok(Some(record.index)));
    }
}

#[test]
fn times_never_go_back_and_heads_are_no_earlier() {
    let mut archive = Archive::new();
    let mut last = 0;
    for (number, ms) in [(1, 1_000_500), (2, 1_000_400), (3, 1_000_500), (4, 1_000_501)] {
        archive.world.clock.set(ms);
        if number == 3 {
            archive.reopen();
        }
        let recorded = archive.record(&[Plan::new(1, number), Plan::new(2, number + 100)]);
        let times: Vec<u64> = recorded.records.iter().map(|record| record.time.micros()).collect();
        assert!(times[0] >= last && times[0] == times[1] && times[0] / 1_000 <= recorded.head.time_ms);
        last = times[1];
    }
    assert_eq!(last, 1_000_501_000);
}

#[test]
fn retries_by_key_and_by_id_get_the_first_answer() {
    let mut archive = Archive::new();
    let plans = [Plan::new(1, 1), Plan::new(2, 2), Plan::new(1, 3)];
    let key = archive.key("key", 7);
    let first = archive.try_record(&plans, Some(key)).unwrap();
    let places = |recorded: &Recorded| recorded.records.iter().map(|one| (one.index, one.leaf)).collect::<Vec<_>>();
    for reopened in [false, true] {
        if reopened {
            archive.reopen();
        }
        let again = archive.try_record(&plans, Some(key)).unwrap();
        assert!(again.replayed && again.records.iter().all(|record| record.replayed));
        assert_eq!(places(&again), places(&first));
        // The body is what counts, not what was made of it.
        let other = archive.try_record(&plans, Some(archive.key("key", 8)));
        assert_eq!(other.unwrap_err(), RecordError::Append(AppendError::IdempotencyMismatch));
        // Without the key the ids tell.
        let again = archive.try_record(&plans, None).unwrap();
        assert!(!again.replayed && again.records.iter().all(|record| record.replayed));
        assert_eq!(places(&again), places(&first));
    }
    // Some that are there and some that are not.
    let mixed = archive.record(&[Plan::new(1, 3), Plan::new(1, 4), Plan::new(1, 4), Plan::new(2, 2)]);
    assert_eq!(mixed.records.iter().map(|record| record.index.get()).collect::<Vec<_>>(), [2, 3, 3, 1]);
    assert_eq!(mixed.records.iter().map(|record| record.replayed).collect::<Vec<_>>(), [true, false, true, true]);
    assert_eq!(archive.log().head().size.get(), 4);
    // The key's time passes; the ids stay.
    archive.world.clock.set(1_002_000);
    let again = archive.try_record(&plans, Some(archive.key("key", 8))).unwrap();
    assert!(!again.replayed && again.records.iter().all(|record| record.replayed));
}

/// Requests that the writer takes together: the second finds what the first has just placed.
#[test]
fn requests_in_one_commit_see_each_other() {
    let mut archive = Archive::of(World::with_log("main"), "main");
    archive.world.create(terms("other"), 2).unwrap();
    let store = archive.world.reopen_faulty();
    let gathered = store.fault.lock().unwrap();
    let other = archive.world.send("other", &numbered(0..1), None);
    let wait = |depth: usize| {
        while archive.world.engine.queue_depth() != depth || store.begun() == 0 {
            std::thread::yield_now();
        }
    };
    wait(0);
    let begun = store.begun();
    let key = Some(archive.key("key", 1));
    let one = [Plan::new(1, 1), Plan::new(2, 2)];
    let after = |seq: u64| Expectation { seq: Some(Some(Seq::new(seq).unwrap())), prev: None };
    let plans: Vec<Vec<Plan>> = vec![
        one.to_vec(),
        one.to_vec(),
        vec![Plan { expected: after(0), ..Plan::new(1, 3) }],
        vec![Plan { expected: after(0), ..Plan::new(1, 4) }],
        vec![Plan::new(1, 3)],
        vec![Plan { says: 9, ..Plan::new(5, 3) }],
    ];
    let mut sent = Vec::new();
    for (number, plans) in plans.iter().enumerate() {
        sent.push(archive.send(plans, key.filter(|_| number < 2)));
        wait(number + 1);
    }
    drop(gathered);
    archive.world.runtime.block_on(other).unwrap().unwrap();
    let mut answers: Vec<_> = sent.into_iter().zip(&plans).map(|(sent, plans)| archive.answer(sent, plans)).collect();
    assert_eq!(store.begun(), begun + 1, "one commit took all of them");
    let refused: Vec<_> = answers.split_off(3);
    let [first, retry, third] =
        <[_; 3]>::try_from(answers.into_iter().map(Result::unwrap).collect::<Vec<_>>()).unwrap();
    assert!(!first.replayed && retry.replayed);
    assert_eq!((third.records[0].seq.get(), third.records[0].index.get()), (1, 2));
    // The answer names a record of the same commit, and leaves behind it.
    let Err(RecordError::Expectation { position: 0, tip: Some(tip) }) = &refused[0] else { panic!("{refused:?}") };
    assert_eq!((tip.index, tip.leaf), (third.records[0].index, third.records[0].leaf));
    let again = refused[1].as_ref().unwrap();
    assert!(again.records[0].replayed);
    let index = Some(third.records[0].index);
    assert_eq!(refused[2].as_ref().unwrap_err(), &RecordError::Id { position: 0, id: id(3), index });
    drop(store);
    archive.reopen();
    assert_eq!(archive.log().head().size.get(), 3);
}

/// More records than the writer remembers: what is not at hand is looked up, and nothing is placed twice or forks.
#[test]
fn what_the_writer_does_not_remember_is_looked_up() {
    let mut archive = Archive::new();
    let count = bounds::NEWEST_RECORDS as u64;
    archive.record(&[Plan::new(1, 0), Plan::new(2, 1)]);
    for start in [2, 2 + count] {
        let plans: Vec<Plan> = (start..start + count).map(|id| Plan::new(3, id)).collect();
        archive.record(&plans);
    }
    let next = archive.record(&[Plan::new(1, 9_000), Plan::new(2, 1), Plan::new(4, 9_001)]);
    assert_eq!(next.records[0].seq.get(), 1);
    assert_eq!((next.records[1].index.get(), next.records[1].replayed), (1, true));
    let taken = archive.try_record(&[Plan { says: 3, ..Plan::new(9, 0) }], None);
    let index = Some(LeafIndex::ZERO);
    assert_eq!(taken.unwrap_err(), RecordError::Id { position: 0, id: id(0), index });
}

#[test]
fn records_are_found_by_what_they_say() {
    let mut archive = Archive::new();
    let plans: Vec<Plan> = (0..300).map(|id| Plan { says: (id % 3) as u16, ..Plan::new((id % 5) as u8, id) }).collect();
    archive.record(&plans);
    for _ in 0..2 {
        let log = archive.log();
        let print = |facet, value: &str| crate::engine::postings::Print::new(&archive.secret, facet, &[value]);
        use crate::engine::postings::Facet;
        let both = [print(Facet::Actor, "actor 1"), print(Facet::Object, "object 4")];
        let hits = found(&log, &both);
        let expected: Vec<u64> = (0..300).rev().filter(|id| id % 3 == 1 && id % 5 == 4).collect();
        assert_eq!(hits.iter().map(|index| index.get()).collect::<Vec<_>>(), expected);
        assert_eq!(found(&log, &[print(Facet::Tenant, "pb")]).len(), 300);
        assert_eq!(found(&log, &[print(Facet::Tenant, "other")]), []);
        assert_eq!(found(&log, &[print(Facet::Subject, "subject 4")]).len(), 60);
        let stream = archive.acked[&4].sequenced.stream;
        let stream = crate::engine::records::stream_print(&archive.secret, stream);
        assert_eq!(found(&log, &[stream]).len(), 60);
        let oldest = log.oldest_records(stream, LeafIndex::new(5).unwrap(), 2).unwrap();
        assert_eq!(oldest.iter().map(|index| index.get()).collect::<Vec<_>>(), [9, 14]);
        assert_eq!(log.indexed_to(), Ok(log.head().size));
        drop(log);
        archive.reopen();
    }
}
