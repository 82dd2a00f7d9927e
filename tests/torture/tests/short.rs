//! A short run of every kind of fault; `make torture` is the long one.
//!
//! The kinds run one after the other, and worlds beside each other, so that a busy machine has fewer cycles, not failures.

use std::time::Duration;

use cairn_tests::random::Random;
use cairn_torture::kinds::Kind;
use cairn_torture::{Plan, run, tally};

/// All kinds together take this long, and each of them what its last cycle and check take besides.
const TIME: Duration = Duration::from_secs(86);

#[test]
#[cfg_attr(not(has_cc), ignore = "there is no C compiler here")]
fn every_kind_of_fault_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan {
        seed: Random::for_test("torture").number() % 1_000_000_007,
        kinds: Kind::ALL.to_vec(),
        time: TIME,
        hands: 3,
        cycles: 25,
        world: None,
        enough: 1,
        folder: folder.path().to_owned(),
    };
    let done = run(&plan, false);
    println!("SEED={}\n{}", plan.seed, tally::table(&done));
    for (kind, tally) in done {
        assert!(tally.is_clean(), "{}: {:#?}", kind.name(), tally.words());
        assert!(tally.cycles > 0 && tally.fired > 0 && tally.acked > 0, "{}: nothing happened", kind.name());
    }
}
