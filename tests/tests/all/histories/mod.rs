//! Generated histories of a log: half of them honest, with restarts, caches, slow witnesses and changing keys, half of
//! them with a lie. The right role must raise the right alarm in time, and an honest log none.
//!
//! Every history follows from a number. A failing one is printed with the command that repeats it; `CAIRN_HISTORIES` in
//! the environment asks for more or fewer than the usual number of each half, and `CAIRN_SEED` for others.

mod auditor;
mod log;
mod oracle;
mod plan;
mod run;
mod stage;
mod watcher;
mod witness;
mod world;

use cairn::monitor::Depth;
use cairn_tests::random::Random;

use self::log::Side;
use self::plan::{Deceit, Event, Noise, Plan};
use self::run::{Counts, run};
use self::stage::Stage;
use self::witness::Mood;
use self::world::Client;

/// How many histories of each half are made.
const HISTORIES: u64 = 500;
/// Asks for another number.
const HISTORIES_VARIABLE: &str = "CAIRN_HISTORIES";
/// Repeats a single history.
const HISTORY_VARIABLE: &str = "CAIRN_HISTORY";

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

/// Lets histories happen, and fails with all that went wrong.
fn let_happen(test: &str, plan: fn(u64) -> Plan) -> Counts {
    let mut random = Random::for_test(test);
    let seeds: Vec<u64> = match number(HISTORY_VARIABLE) {
        Some(seed) => vec![seed],
        None => (0..number(HISTORIES_VARIABLE).unwrap_or(HISTORIES)).map(|_| random.number()).collect(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut counts, mut failures) = (Counts::new(), Vec::new());
    runtime.block_on(async {
        let stage = Stage::open().await;
        for seed in seeds {
            let plan = plan(seed);
            if let Err(error) = run(&stage, &plan, seed, &mut counts).await {
                println!("{HISTORY_VARIABLE}={seed} cargo test -p cairn-tests --release {test} -- --nocapture");
                println!("{error}\n{plan:?}");
                failures.push(format!("{seed}: {error}"));
            }
            *counts.entry("histories".to_owned()).or_default() += 1;
        }
    });
    println!("{test}: {counts:#?}");
    assert!(failures.is_empty(), "{} histories went wrong:\n{}", failures.len(), failures.join("\n"));
    counts
}

/// Whatever a test of many histories does not meet, it does not test.
fn assert_met(counts: &Counts, names: &[&str]) {
    if number(HISTORY_VARIABLE).is_none() && number(HISTORIES_VARIABLE).is_none_or(|count| count >= 100) {
        let missing: Vec<_> = names.iter().filter(|name| counts.get(**name).is_none_or(|count| *count == 0)).collect();
        assert!(missing.is_empty(), "never met: {missing:?}");
    }
}

const EVERYDAY: [&str; 8] = [
    "served by a cache that lags",
    "served by a cache that breaks",
    "event Witness",
    "event Keys",
    "event Restart",
    "event Damage",
    "event Append",
    "audits",
];

#[test]
fn honest_histories_raise_no_alarm() {
    let counts = let_happen("honest_histories_raise_no_alarm", Plan::honest);
    assert_met(&counts, &EVERYDAY);
    assert_met(&counts, &["served by a mirror that lags", "event Outage", "event ClockAhead", "alarm unreachable"]);
    let alarms = counts.keys().filter(|name| name.starts_with("alarm ") && *name != "alarm unreachable");
    assert_eq!(alarms.count(), 0, "{counts:?}");
}

#[test]
fn histories_with_a_lie_raise_the_right_alarm_and_no_other() {
    let counts = let_happen("histories_with_a_lie_raise_the_right_alarm_and_no_other", Plan::lying);
    assert_met(&counts, &EVERYDAY);
    let alarms = cairn::monitor::Alarm::ALL.map(|alarm| format!("alarm {alarm}"));
    let alarms: Vec<&str> = alarms.iter().map(String::as_str).filter(|name| *name != "alarm unreachable").collect();
    assert_met(&counts, &alarms);
    let tales = ["ForgedRoot", "WrongKey", "BadSignature", "NoQuorum", "StolenCosignatures", "RewrittenEntry"];
    let others = ["ShortTiles", "AlienTiles", "WrongLeaf", "Split", "Leave", "Rewrite", "Rollback", "Freeze"];
    let lies: Vec<String> =
        tales.iter().chain(&others).chain(&["Unwitnessed", "Future"]).map(|name| format!("lie {name}")).collect();
    assert_met(&counts, &lies.iter().map(String::as_str).collect::<Vec<_>>());
    assert_met(&counts, &["refused by witnesses", "refused by auditors", "changed evidence refused"]);
}

/// A history that was found by chance, and made as short as it could be.
fn found(start: u64, events: Vec<(u64, Event)>) {
    let plan = Plan {
        start,
        depths: [Depth::Entries; 2],
        has_policy: false,
        withheld_after: None,
        is_plain: false,
        post_quantum_witness: false,
        noise: Noise::Nothing,
        events,
        end: 60,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stage = Stage::open().await;
        run(&stage, &plan, 1, &mut Counts::new()).await.unwrap();
    });
}

/// Whether a log has a `head`, and so how long it may withhold one, is not known before the first look.
#[test]
fn what_a_peer_shows_before_the_first_look_after_a_start_is_waited_for_no_longer() {
    found(
        3,
        vec![
            (20, Event::Lie(Deceit::Freeze { clients: vec![Client::MonitorB] })),
            (21, Event::Append { side: Side::One, count: 1 }),
            (29, Event::Restart(Client::MonitorB)),
        ],
    );
}

/// The checkpoint has never been as large, so that only the head went back; and nothing shows where the checkpoint stands.
#[test]
fn a_head_that_goes_back_is_a_rollback_although_the_checkpoint_beside_it_can_not_be_placed() {
    let mut events: Vec<_> =
        (0..3).map(|number| (1, Event::Witness { number, mood: Mood::Dead { until: 1_000 } })).collect();
    events.extend([
        (2, Event::Append { side: Side::One, count: 600 }),
        (20, Event::Lie(Deceit::Rewrite { clients: vec![Client::MonitorB], at: 2, more: -300 })),
        (21, Event::Restart(Client::MonitorB)),
    ]);
    found(5, events);
}

/// A cache still had a head of the tree that the log had left by then, newer than what was read. What the
/// log serves does not fit it, which is an alarm at once; the fork is proven in the next look, past caches.
#[test]
fn a_log_that_leaves_a_head_which_a_cache_still_has_serves_what_does_not_fit_it_and_then_a_fork() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut counts = Counts::new();
    runtime.block_on(async {
        let stage = Stage::open().await;
        let seed = 10_420_318_503_199_156_709;
        run(&stage, &Plan::lying(seed), seed, &mut counts).await.unwrap();
    });
    for name in ["lie Rewrite", "served by a cache that lags", "alarm misfit", "alarm fork"] {
        assert!(counts.contains_key(name), "the seed makes another history by now: {name} is not in {counts:?}");
    }
}
