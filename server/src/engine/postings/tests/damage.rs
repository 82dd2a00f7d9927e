//! Damaged runs: every look-up gives an error or the same answer as before, never a wrong one.

use super::*;
use crate::engine::bounds::POSTING_MENDS;

/// Everything that a few look-ups say; one that fails says nothing.
fn answers(ground: &Ground, prints: &[Print]) -> Vec<Option<Vec<u64>>> {
    let postings = ground.postings(SMALL);
    let end = ground.size();
    let mut answers = Vec::new();
    for print in prints {
        answers.push(postings.newest(ground, *print, end, usize::MAX).ok().map(|found| numbers(&found)));
        answers.push(postings.oldest(ground, *print, index(0), usize::MAX).ok().map(|found| numbers(&found)));
        answers.push(postings.oldest(ground, *print, index(20), 3).ok().map(|found| numbers(&found)));
        let newest = postings.newest_of(ground, &[*print]).ok();
        answers.push(newest.map(|found| found.into_iter().flatten().map(LeafIndex::get).collect()));
    }
    for pair in prints.windows(2) {
        let page = postings.intersect(ground, pair, end, usize::MAX, u64::MAX).ok();
        answers.push(page.map(|page| numbers(&page.hits)));
    }
    answers
}

fn ground(records: u64, sizes: Sizes) -> Ground {
    let ground = Ground::new(0);
    let postings = ground.postings(sizes);
    postings.complete_to(&ground).unwrap();
    ground.append(&postings, (0..records).map(record).collect());
    build(&postings, &ground, &ground.sink()).unwrap();
    assert_eq!(Manifest::read(&ground.store, LOG, 0).unwrap().end(), records);
    ground
}

fn put(ground: &Ground, key: &Key, row: Option<Vec<u8>>) {
    let mut batch = Batch::new();
    match row {
        Some(row) => batch.put(key.clone(), row),
        None => batch.delete(key.clone()),
    }
    ground.store.commit(batch).unwrap();
}

fn compare(sound: &[Option<Vec<u64>>], damaged: &[Option<Vec<u64>>]) -> usize {
    let mut errors = 0;
    for (sound, damaged) in sound.iter().zip(damaged) {
        match damaged {
            Some(_) => assert_eq!(sound, damaged),
            None => errors += 1,
        }
    }
    errors
}

#[test]
fn each_flipped_byte_is_an_error_or_changes_nothing() {
    let ground = ground(64, SMALL);
    let prints = all_prints(12);
    let sound = answers(&ground, &prints);
    assert!(sound.iter().all(Option::is_some));
    let rows = ground.rows();
    assert_eq!(rows.len(), 1);
    let (key, row) = &rows[0];
    for at in 0..row.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut flipped = row.clone();
            flipped[at] ^= flip;
            put(&ground, key, Some(flipped));
            assert_eq!(compare(&sound, &answers(&ground, &prints)), sound.len(), "byte {at}");
        }
        put(&ground, key, Some(row[..at].to_vec()));
        assert_eq!(compare(&sound, &answers(&ground, &prints)), sound.len(), "cut at {at}");
        assert!(ground.check().is_err());
    }
    put(&ground, key, Some(row.clone()));
    assert_eq!(answers(&ground, &prints), sound);
}

/// A run of several blocks: a row that is gone, that stands in another's place, or that was doubled, is seen by whoever
/// looks where it is.
#[test]
fn lost_and_misplaced_blocks_are_errors_or_change_nothing() {
    let sizes = Sizes { run_bytes: usize::MAX, run_leaves: 600, ..SMALL };
    let ground = ground(600, sizes);
    let prints: Vec<Print> = all_prints(600).into_iter().step_by(7).collect();
    let sound = answers(&ground, &prints);
    let rows = ground.rows();
    assert!(rows.len() > 3, "{}", rows.len());
    for (place, (key, row)) in rows.iter().enumerate() {
        put(&ground, key, None);
        assert!(compare(&sound, &answers(&ground, &prints)) > 0, "block {place} was lost");
        assert!(ground.check().is_err());
        let other = &rows[(place + 1) % rows.len()];
        put(&ground, key, Some(other.1.clone()));
        assert!(compare(&sound, &answers(&ground, &prints)) > 0, "block {place} has another's bytes");
        assert!(ground.check().is_err());
        put(&ground, key, Some(row.clone()));
    }
    assert_eq!(answers(&ground, &prints), sound);
}

/// Once a look-up came upon it, the builder makes all runs anew from the records, and nothing was lost.
#[test]
fn damaged_runs_are_made_anew_and_sound_ones_are_left_alone() {
    let ground = ground(200, SMALL);
    let prints = all_prints(200);
    let model = ground.model();
    let flip = |key: &Key, row: &[u8]| {
        let mut flipped = row.to_vec();
        flipped[row.len() / 2] ^= 1;
        put(&ground, key, Some(flipped));
    };
    for damage in [Kind::PostingRun, Kind::PostingManifest] {
        let postings = ground.postings(SMALL);
        let (loads, from) = {
            postings.complete_to(&ground).unwrap();
            postings.read_from()
        };
        assert!(loads == 1 && from > 0, "some of it has runs");
        let rows = ground.store.scan(&KeyRange::all(LOG, damage), usize::MAX).unwrap();
        rows.iter().for_each(|(key, row)| flip(key, row));
        if damage == Kind::PostingManifest {
            postings.unload();
        }
        // Nobody has met it: nothing is done about it.
        let ids: Vec<u64> = rows.iter().filter_map(|(key, _)| key.number()).collect();
        assert!(postings.newest_of(&ground, &prints).is_err());
        build(&postings, &ground, &ground.sink()).unwrap();
        model.compare(&postings, &ground, &prints);
        ground.check().unwrap();
        // They may find less than those before them did, from the first record on.
        assert_eq!(postings.read_from().1, 0, "{ids:?}");
        let before = ground.rows();
        build(&postings, &ground, &ground.sink()).unwrap();
        assert_eq!(ground.rows(), before);
    }
}

/// A run would outlive what is known of the damage: the next start would take it for what the log has.
#[test]
fn no_run_is_made_of_a_leaf_that_is_not_what_the_tree_has() {
    const LEAVES: u64 = 100;
    let mut ground = Ground { unlike: Some(index(40)), ..Ground::new(0) };
    *ground.leaves.write().unwrap() = (0..LEAVES).map(record).collect();
    let indexed = |ground: &Ground| Manifest::read(&ground.store, LOG, 0).unwrap().end();
    // What there is room for is found from memory, by whoever knows what to think of it.
    let postings = ground.postings(SMALL);
    build(&postings, &ground, &ground.sink()).unwrap();
    ground.append(&postings, (LEAVES..LEAVES + 10).map(record).collect());
    build(&postings, &ground, &ground.sink()).unwrap();
    assert_eq!((indexed(&ground), postings.is_due()), (0, false));
    ground.model().compare(&postings, &ground, &all_prints(LEAVES + 10));
    // Of more it is told what keeps it from being indexed.
    ground.leaves.write().unwrap().extend((LEAVES + 10..300).map(record));
    let postings = ground.postings(SMALL);
    let refused = build(&postings, &ground, &ground.sink());
    assert!(matches!(refused, Err(BuildError::Unlike(at)) if at == index(40)), "{refused:?}");
    let told = postings.complete_to(&ground).unwrap_err();
    assert!(matches!(&told, PostingsError::Read(error) if error.entry() == Some(index(40))), "{told:?}");
    assert_eq!(indexed(&ground), 0);
    // All that comes before what was read with it has runs.
    ground.leaves.write().unwrap().extend((300..9_000).map(record));
    ground.unlike = Some(index(5_000));
    let refused = build(&postings, &ground, &ground.sink());
    assert!(matches!(refused, Err(BuildError::Unlike(at)) if at == index(5_000)), "{refused:?}");
    assert_eq!(indexed(&ground), SOURCE_LEAVES);
    ground.unlike = None;
    build(&postings, &ground, &ground.sink()).unwrap();
    assert!(indexed(&ground) > 8_900);
    let ids = [0, 40, 70, 5_000, 8_999].map(|number| print(Facet::RecordId, number));
    let found = postings.newest_of(&ground, &ids).unwrap().into_iter().flatten().collect::<Vec<_>>();
    assert_eq!(numbers(&found), [0, 40, 70, 5_000, 8_999]);
}

/// A disk that damages whatever is written is not written to without end.
#[test]
fn runs_that_are_damaged_again_and_again_stay_so() {
    let ground = ground(200, SMALL);
    let prints = all_prints(200);
    let postings = ground.postings(SMALL);
    postings.complete_to(&ground).unwrap();
    let mut made = 0;
    for _ in 0..2 * POSTING_MENDS {
        for (key, mut row) in ground.rows() {
            row.truncate(row.len() - 1);
            put(&ground, &key, Some(row));
        }
        assert!(postings.newest_of(&ground, &prints).is_err());
        // What can't be read can't be merged either.
        let _ = build(&postings, &ground, &ground.sink());
        made += u32::from(postings.newest_of(&ground, &prints).is_ok());
    }
    assert_eq!(made, POSTING_MENDS);
}

/// More partial records than a check knows of at a time: it reads the run in parts, and misses nothing between them.
#[test]
fn a_check_in_parts_finds_what_one_in_one_finds() {
    const RECORDS: u64 = 3 * SOURCE_LEAVES;
    let partial = print(Facet::StreamId, 1);
    let record = |number: u64| {
        let mut prints = vec![print(Facet::Topic, number % 5), print(Facet::RecordId, number)];
        prints.extend(number.is_multiple_of(100).then_some(partial));
        prints
    };
    let sizes = Sizes { run_bytes: usize::MAX, run_leaves: RECORDS, ..SMALL };
    let mut ground = Ground { partial: Some(partial), ..Ground::new(0) };
    let postings = ground.postings(sizes);
    postings.complete_to(&ground).unwrap();
    ground.append(&postings, (0..RECORDS).map(record).collect());
    build(&postings, &ground, &ground.sink()).unwrap();
    ground.check().unwrap();
    for (number, is_seen) in [(5, true), (SOURCE_LEAVES, true), (RECORDS - 1, true), (4_100, false), (12_200, false)] {
        let leaves = ground.leaves.get_mut().unwrap();
        let whole = leaves[number as usize].clone();
        leaves[number as usize].retain(|other| *other == partial || other.is_of(Facet::RecordId));
        let found = ground.check().map_err(|error| error.to_string());
        let expected = format!("it is wrong about entries {number} to {number}");
        assert_eq!(found.is_err(), is_seen, "{number}");
        assert!(found.err().is_none_or(|words| words.contains(&expected)), "{number}");
        ground.leaves.get_mut().unwrap()[number as usize] = whole;
    }
    ground.check().unwrap();
}

/// A run that is whole but says other things than the log does: only the check can know.
#[test]
fn the_check_finds_runs_that_are_not_the_logs() {
    let build_over = |tamper: &dyn Fn(&mut Vec<Vec<Print>>)| {
        let ground = ground(64, SMALL);
        tamper(&mut ground.leaves.write().unwrap());
        ground.check().map_err(|error| error.to_string())
    };
    assert_eq!(build_over(&|_| {}), Ok(()));
    let missing = build_over(&|leaves| leaves[40].push(print(Facet::Topic, 3)));
    assert!(missing.unwrap_err().contains("it is wrong about entries 40 to 40"));
    let untrue = build_over(&|leaves| leaves[63].truncate(5));
    assert!(untrue.unwrap_err().contains("it is wrong about entries 63 to 63"));
    let swapped = build_over(&|leaves| leaves.swap(10, 11));
    assert!(swapped.unwrap_err().contains("it is wrong about entries 10 to 10"));
    // The order within a record is free, and a value that stands in it twice is one.
    assert_eq!(build_over(&|leaves| leaves[5].reverse()), Ok(()));
    assert_eq!(build_over(&|leaves| leaves[5].extend(record(5))), Ok(()));
    let short = build_over(&|leaves| leaves.truncate(60));
    assert!(short.unwrap_err().contains("it covers entries up to 64"));
}

/// No bytes that a checksum might let through make a reader panic: lists and entries are tried without it.
#[test]
fn sealed_nonsense_is_an_error() {
    let ground = ground(64, SMALL);
    let manifest = Manifest::read(&ground.store, LOG, 0).unwrap();
    let address = manifest.runs()[0].address(LOG);
    let (key, row) = ground.rows().remove(0);
    let prints = all_prints(6);
    let sound = answers(&ground, &prints);
    for at in block::HEADER..row.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut wrong = row.clone();
            wrong[at] = value;
            let (same, sealed) = address.seal(block::Position::MIN, block::Position::MAX, wrong);
            assert_eq!(same, key);
            put(&ground, &key, Some(sealed));
            // The answers may be wrong here: somebody made this block. They come, and the check tells.
            let _ = answers(&ground, &prints);
            if row[at] != value {
                assert!(ground.check().is_err(), "byte {at} is {value}");
            }
        }
    }
    put(&ground, &key, Some(row));
    assert_eq!(answers(&ground, &prints), sound);
}
