//! Random histories: appends, builds, restarts and rebuilds in any order, compared with the model after each step.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// Leaves with the prints of these values; a leaf without any is a raw entry.
    Append(Vec<Vec<(u8, u8)>>),
    /// Many records of the usual kind.
    AppendMany(u8),
    Build,
    Restart,
    Unload,
    Rebuild,
    Check,
}

fn step() -> impl Strategy<Value = Step> {
    // Squared, so that few values are in many records.
    let value = (0_u8..15, (0_u8..5).prop_map(|value| value * value / 4));
    prop_oneof![
        6 => vec(vec(value, 0..6), 1..40).prop_map(Step::Append),
        2 => (1_u8..200).prop_map(Step::AppendMany),
        4 => Just(Step::Build),
        1 => Just(Step::Restart),
        1 => Just(Step::Unload),
        1 => Just(Step::Rebuild),
        1 => Just(Step::Check),
    ]
}

fn journey(first: u64, steps: Vec<Step>) {
    let ground = Ground::new(first);
    let mut postings = ground.postings(SMALL);
    let facets: Vec<Print> = Facet::ALL.iter().flat_map(|facet| (0..5).map(|value| print(*facet, value))).collect();
    for step in steps {
        match step {
            Step::Append(leaves) => {
                let leaf = |values: Vec<(u8, u8)>| {
                    values.iter().map(|(facet, value)| print(Facet::ALL[*facet as usize], u64::from(*value))).collect()
                };
                ground.append(&postings, leaves.into_iter().map(leaf).collect());
            }
            Step::AppendMany(count) => {
                let from = ground.size().get();
                ground.append(&postings, (from..from + u64::from(count)).map(record).collect());
            }
            Step::Build => build(&postings, &ground, &ground.sink()).unwrap(),
            Step::Restart => postings = ground.postings(SMALL),
            Step::Unload => postings.unload(),
            Step::Rebuild => {
                postings = ground.postings(SMALL);
                ground.rebuild(&ground.sink()).unwrap();
            }
            Step::Check => ground.check().unwrap(),
        }
        // As the server does: what is far behind is built first, and appends wait for what is overdue.
        if postings.is_overdue() || matches!(postings.complete_to(&ground), Err(PostingsError::Behind { .. })) {
            build(&postings, &ground, &ground.sink()).unwrap();
        }
        ground.model().compare(&postings, &ground, &facets[..20]);
    }
    build(&postings, &ground, &ground.sink()).unwrap();
    ground.model().compare(&postings, &ground, &facets);
    ground.check().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_history_reads_as_the_model_says(first in 0_u64..40, steps in vec(step(), 1..14)) {
        journey(first, steps);
    }
}

/// Runs of several levels come to be, and no rows are left of those that were merged.
#[test]
fn runs_are_merged_by_levels_and_leave_nothing_behind() {
    let ground = Ground::new(0);
    let postings = ground.postings(SMALL);
    for part in 0..60 {
        ground.append(&postings, (part * 40..part * 40 + 40).map(record).collect());
        build(&postings, &ground, &ground.sink()).unwrap();
    }
    let manifest = Manifest::read(&ground.store, LOG, 0).unwrap();
    let levels: Vec<u8> = manifest.runs().iter().map(|run| run.level).collect();
    assert!(levels.is_sorted_by(|one, next| one >= next), "{levels:?}");
    assert!(levels.first().is_some_and(|level| *level >= 2), "{levels:?}");
    assert!((0..=u8::MAX).all(|level| levels.iter().filter(|one| **one == level).count() < SMALL.fan));
    assert!(manifest.dead().is_empty());
    let ids: BTreeSet<u64> = manifest.runs().iter().map(|run| run.id).collect();
    let there: BTreeSet<u64> =
        ground.rows().iter().map(|(key, _)| u64::from_be_bytes(*key.suffix().first_chunk().unwrap())).collect();
    assert_eq!(ids, there);
    ground.model().compare(&postings, &ground, &all_prints(60));
}

/// Raw entries among records cost nothing, but the runs get past them: no start reads them again and again.
#[test]
fn a_stretch_of_raw_entries_becomes_runs_too() {
    let ground = Ground::new(0);
    let postings = ground.postings(SMALL);
    postings.complete_to(&ground).unwrap();
    ground.append(&postings, vec![record(0)]);
    ground.append(&postings, vec![Vec::new(); 500]);
    ground.append(&postings, vec![record(1)]);
    assert!(postings.is_due());
    build(&postings, &ground, &ground.sink()).unwrap();
    assert!(Manifest::read(&ground.store, LOG, 0).unwrap().end() >= 500);
    ground.model().compare(&postings, &ground, &all_prints(2));
}

/// What comes a second time, as after a load that has read it already, is not there twice.
#[test]
fn postings_that_are_there_are_not_added_again() {
    let ground = Ground::new(0);
    let postings = ground.postings(SMALL);
    ground.append(&postings, (0..10).map(record).collect());
    postings.complete_to(&ground).unwrap();
    postings.insert(size(10), &record(9).into_iter().map(|print| (print, index(9))).collect::<Vec<_>>());
    let twice = vec![[record(10), record(10)].concat(), record(11)];
    ground.append(&postings, twice);
    ground.model().compare(&postings, &ground, &all_prints(12));
}

/// A log that is far behind is not read by whoever happens to look something up.
#[test]
fn far_behind_it_says_so_and_is_built() {
    let ground = Ground::new(0);
    let postings = ground.postings(SMALL);
    ground.append(&postings, (0..1_000).map(record).collect());
    let restarted = ground.postings(SMALL);
    let refused = restarted.complete_to(&ground);
    assert_eq!(refused, Err(PostingsError::Behind { indexed: 0, size: 1_000, earlier: None }));
    assert_eq!(restarted.upkeep.due.next(), Some(LOG));
    build(&restarted, &ground, &ground.sink()).unwrap();
    ground.model().compare(&restarted, &ground, &all_prints(40));
    // Filters are there for what every append asks.
    let Inner::Loaded(loaded) = &*restarted.read() else { panic!("it was loaded") };
    assert!(loaded.runs.iter().all(|live| live.filter.get().is_some()));
    assert!(loaded.runs.iter().all(|live| live.run.start <= 3 || !live.may_have(print(Facet::RecordId, 3))));
}
