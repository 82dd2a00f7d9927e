//! A seed that a run has printed makes the same choices again, however threads and processes take turns.

use std::time::Duration;

use cairn_tests::random::Random;
use cairn_torture::kinds::Kind;
use cairn_torture::{Plan, run};

/// Long enough for all cycles, except on a machine that is very busy.
const TIME: Duration = Duration::from_secs(240);
/// Those whose choices don't concern the bytes of a database, which are others in each run.
const KINDS: [Kind; 9] = [
    Kind::Kill,
    Kind::Points,
    Kind::Syscall,
    Kind::Power,
    Kind::Recovery,
    Kind::Copies,
    Kind::Clock,
    Kind::Backup,
    Kind::Witnessed,
];

#[test]
#[cfg_attr(not(has_cc), ignore = "there is no C compiler here")]
fn a_seed_chooses_the_same_faults_in_the_same_order() {
    let seed = Random::for_test("replay").number() % 1_000_000_007;
    let chosen = || {
        let folder = tempfile::tempdir().unwrap();
        let (kinds, folder) = (KINDS.to_vec(), folder.path().to_owned());
        let plan = Plan { seed, kinds, time: TIME, hands: 1, cycles: 5, world: Some(1), enough: 1, folder };
        run(&plan, false)
    };
    let (first, again) = std::thread::scope(|scope| {
        let again = scope.spawn(chosen);
        (chosen(), again.join().unwrap())
    });
    for ((kind, first), (_, again)) in first.into_iter().zip(again) {
        assert!(first.is_clean() && again.is_clean(), "{}: {:?} {:?}", kind.name(), first.words(), again.words());
        let both = first.chosen.len().min(again.chosen.len());
        assert!(both >= 2, "{}: too few to compare", kind.name());
        assert_eq!(first.chosen[..both], again.chosen[..both], "{}", kind.name());
    }
}
