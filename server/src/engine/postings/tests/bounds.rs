//! What look-ups may cost: blocks that they read, whatever the log has.

use super::*;

const DENSE: u64 = 200_000;

/// One run with two prints that share no leaf, one that every leaf has, and a rare one.
fn dense() -> (Ground, Postings) {
    let ground = Ground::new(0);
    let leaf = |number: u64| {
        let mut prints = vec![print(Facet::Tenant, 0), print(Facet::Operation, number % 2)];
        prints.extend((number % 5 < 2).then(|| print(Facet::Action, 0)));
        prints.extend((number % 20_000 == 7).then(|| print(Facet::Object, 0)));
        prints
    };
    *ground.leaves.write().unwrap() = (0..DENSE).map(leaf).collect();
    let sizes = Sizes { run_bytes: usize::MAX, run_leaves: DENSE, ..Sizes::default() };
    let postings = ground.postings(sizes);
    build(&postings, &ground, &ground.sink()).unwrap();
    assert_eq!(Manifest::read(&ground.store, LOG, 0).unwrap().runs().len(), 1);
    (ground, postings)
}

fn reads(ground: &Ground) -> usize {
    ground.reads.swap(0, Ordering::SeqCst)
}

#[test]
fn a_page_reads_no_more_blocks_than_it_needs_from_either_end() {
    let (ground, postings) = dense();
    let bytes: usize = ground.rows().iter().map(|(_, row)| row.len()).sum();
    // A byte for each of the operations and actions; next to nothing for the tenant that all have.
    assert!(bytes < (DENSE + DENSE / 2) as usize, "{bytes}");
    assert!(ground.rows().iter().all(|(_, row)| row.len() <= block::BLOCK_MAX));
    reads(&ground);
    let (print, end) = (print(Facet::Operation, 1), size(DENSE));
    for middle in [DENSE, DENSE / 2, 100] {
        let newest = postings.newest(&ground, print, size(middle), 30).unwrap();
        assert_eq!(numbers(&newest), (0..30).map(|step| middle - 1 - 2 * step).collect::<Vec<_>>());
        assert!(reads(&ground) <= 2);
        let oldest = postings.oldest(&ground, print, index(DENSE - middle), 30).unwrap();
        assert_eq!(numbers(&oldest), (0..30).map(|step| DENSE - middle + 1 + 2 * step).collect::<Vec<_>>());
        assert!(reads(&ground) <= 2);
    }
    assert_eq!(postings.newest_of(&ground, &[print]).unwrap(), [Some(index(DENSE - 1))]);
    assert_eq!(reads(&ground), 1);
    // Through all blocks, in both directions.
    assert_eq!(postings.newest(&ground, print, end, usize::MAX).unwrap().len() as u64, DENSE / 2);
    assert_eq!(numbers(&postings.oldest(&ground, print, index(0), usize::MAX).unwrap()).len() as u64, DENSE / 2);
    assert!(reads(&ground) <= 2 * ground.rows().len());
}

#[test]
fn prints_that_share_no_leaf_stop_at_the_bound_and_go_on() {
    let (ground, postings) = dense();
    let disjoint = [print(Facet::Operation, 0), print(Facet::Operation, 1)];
    let (mut next, mut calls) = (Some(size(DENSE)), 0);
    reads(&ground);
    while let Some(below) = next {
        let page = postings.intersect(&ground, &disjoint, below, 10, 4).unwrap();
        assert_eq!(page.hits, []);
        assert!(reads(&ground) <= 8, "a bound of 4 blocks, and a begun one for each print");
        assert!(page.next.is_none_or(|next| next < below));
        (next, calls) = (page.next, calls + 1);
    }
    assert!((2..500).contains(&calls), "{calls}");
}

#[test]
fn a_rare_print_leads_and_the_others_skip() {
    let (ground, postings) = dense();
    let expected: Vec<u64> = (0..10).rev().map(|hit| hit * 20_000 + 7).collect();
    for mut prints in [
        vec![print(Facet::Tenant, 0), print(Facet::Operation, 1), print(Facet::Object, 0)],
        vec![print(Facet::Object, 0), print(Facet::Operation, 1)],
        vec![print(Facet::Operation, 1), print(Facet::Object, 0), print(Facet::Operation, 1)],
    ] {
        reads(&ground);
        let page = postings.intersect(&ground, &prints, size(DENSE), 100, 1_000).unwrap();
        assert_eq!((numbers(&page.hits), page.next), (expected.clone(), None));
        assert!(reads(&ground) <= 30, "one block at most for each hit and print");
        // One that no leaf has ends it at once.
        prints.push(print(Facet::Topic, 1));
        let page = postings.intersect(&ground, &prints, size(DENSE), 100, 1_000).unwrap();
        assert_eq!((page.hits, page.next), (vec![], None));
        assert!(reads(&ground) <= 4);
    }
}

#[test]
fn of_no_prints_or_no_hits_there_is_nothing() {
    let (ground, postings) = dense();
    let nothing = Page { hits: vec![], next: None };
    assert_eq!(postings.intersect(&ground, &[], size(DENSE), 10, 10).unwrap(), nothing);
    assert_eq!(postings.intersect(&ground, &[print(Facet::Tenant, 0)], size(DENSE), 0, 10).unwrap(), nothing);
}

/// An id that is in no run costs no read of any, but for one in a few hundred.
#[test]
fn absent_ids_read_no_blocks() {
    let ground = Ground::new(0);
    let sizes = Sizes { run_bytes: usize::MAX, run_leaves: 1_000, ..SMALL };
    let postings = ground.postings(sizes);
    for part in 0..5 {
        ground.append(&postings, (part * 1_000..part * 1_000 + 1_000).map(record).collect());
        build(&postings, &ground, &ground.sink()).unwrap();
    }
    let absent: Vec<Print> = (10_000..11_000).map(|number| print(Facet::RecordId, number)).collect();
    reads(&ground);
    assert!(postings.newest_of(&ground, &absent).unwrap().iter().all(Option::is_none));
    let read = reads(&ground);
    assert!(read < 60, "{read}");
}

/// Three frequent prints that few leaves have together: each list is walked through in few reads, and the most frequent one
/// is asked about those leaves alone that have the others.
#[test]
fn frequent_prints_together_are_read_in_few_steps_and_the_rarest_first() {
    let ground = Ground::new(0);
    let [rare, middle, dense] = [print(Facet::Actor, 1), print(Facet::Module, 1), print(Facet::Operation, 1)];
    // Nearly no stretches, so that a list has a byte for each index.
    let leaf = |number: u64| {
        let mix = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let mut prints = vec![print(Facet::Tenant, 0)];
        prints.extend(mix.is_multiple_of(2).then_some(dense));
        prints.extend(mix.is_multiple_of(5).then_some(middle));
        prints.extend(mix.is_multiple_of(30_011).then_some(rare));
        prints
    };
    *ground.leaves.write().unwrap() = (0..DENSE).map(leaf).collect();
    let sizes = Sizes { run_bytes: usize::MAX, run_leaves: DENSE, ..Sizes::default() };
    let postings = ground.postings(sizes);
    build(&postings, &ground, &ground.sink()).unwrap();
    let model = ground.model();
    let count = |prints: &[Print]| {
        reads(&ground);
        ground.scans.store(0, Ordering::SeqCst);
        let page = postings.intersect(&ground, prints, size(DENSE), usize::MAX, u64::MAX).unwrap();
        assert!(page.next.is_none() && numbers(&page.hits) == model.intersect(prints, DENSE));
        (reads(&ground), ground.scans.swap(0, Ordering::SeqCst))
    };
    // Those that share much are read through, all of them.
    let (blocks, scans) = count(&[dense, middle]);
    assert!(blocks >= 7, "{blocks}");
    assert!(scans <= 7 && scans + 2 <= blocks, "{scans} for {blocks} blocks");
    // In whatever order they are asked for.
    let counts: Vec<_> = [[rare, middle, dense], [dense, middle, rare], [middle, dense, rare]]
        .iter()
        .map(|prints| count(prints))
        .collect();
    assert!(counts.iter().all(|one| *one == counts[0]), "{counts:?}");
    // One for the rare one itself.
    assert!(counts[0].0 <= blocks + 1, "{counts:?}, {blocks}");
}
