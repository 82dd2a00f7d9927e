//! A run: each kind has its share of the time, and as many worlds beside each other as there are hands.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cairn_tests::random::Random;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::kinds::{Kind, Setting};
use crate::tally::{Finding, Tally};

/// How long a kind goes on past its time, on a machine so busy that no fault has fired yet: with worlds of one cycle.
const OVERTIME: Duration = Duration::from_secs(60);

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// All choices follow from it, but for how threads and processes take turns.
    pub seed: u64,
    /// The kinds, each with an equal share of the time.
    pub kinds: Vec<Kind>,
    /// The time of all of them together.
    pub time: Duration,
    /// Worlds beside each other.
    pub hands: usize,
    /// Cycles per world, at most.
    pub cycles: u64,
    /// The only world to run of each kind, for a replay.
    pub world: Option<u64>,
    /// Findings after which a kind is given up: more of the same tell nothing new.
    pub enough: u64,
    /// Where worlds are made.
    pub folder: PathBuf,
}

/// Runs it, and draws how far it is where somebody looks.
#[must_use]
pub fn run(plan: &Plan, draws_progress: bool) -> Vec<(Kind, Tally)> {
    let share = plan.time / u32::try_from(plan.kinds.len().max(1)).unwrap_or(1);
    let target = if draws_progress { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(plan.time.as_secs()), target);
    // The pattern is written here; a wrong one would only draw nothing.
    if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} [{wide_bar}] {msg}") {
        bar.set_style(style);
    }
    let done = plan.kinds.iter().map(|kind| (*kind, run_kind(plan, *kind, Instant::now() + share, &bar))).collect();
    bar.finish_and_clear();
    done
}

fn run_kind(plan: &Plan, kind: Kind, deadline: Instant, bar: &ProgressBar) -> Tally {
    let whole: Mutex<Tally> = Mutex::default();
    let next = AtomicU64::new(plan.world.unwrap_or(0));
    let left = AtomicU64::new(if plan.world.is_some() { 1 } else { u64::MAX });
    std::thread::scope(|scope| {
        for _ in 0..plan.hands.max(1) {
            scope.spawn(|| {
                while goes_on(plan, deadline, &whole) {
                    if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
                        return;
                    }
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let setting = Setting { folder: &plan.folder, number, deadline, cycles: plan.cycles };
                    let tally = run_world(plan.seed, kind, &setting);
                    let mut whole = lock(&whole);
                    whole.add(tally);
                    bar.set_position(bar.elapsed().as_secs());
                    bar.set_message(format!("{}: {} cycles, {} faults", kind.name(), whole.cycles, whole.fired));
                }
            });
        }
    });
    whole.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Whether there is another world.
fn goes_on(plan: &Plan, deadline: Instant, whole: &Mutex<Tally>) -> bool {
    let (whole, now) = (lock(whole), Instant::now());
    whole.findings() < plan.enough && (now < deadline || whole.fired == 0 && now < deadline + OVERTIME)
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One world. What panics in it is a finding.
fn run_world(seed: u64, kind: Kind, setting: &Setting<'_>) -> Tally {
    let random = seed_of(seed, kind, setting.number);
    let mut tally = Tally::default();
    let done = catch_unwind(AssertUnwindSafe(|| kind.run(setting, random, &mut tally)));
    let done = done.unwrap_or_else(|panic| Err(Finding::failed(words_of(&*panic))));
    if let Err(finding) = done {
        tally.found(&finding.within(format_args!("seed {seed}, world {} of {}", setting.number, kind.name())));
    }
    tally
}

/// The choices of one world, which do not depend on the others.
fn seed_of(seed: u64, kind: Kind, number: u64) -> Random {
    Random::new(seed).named(&[kind.name().as_bytes(), &number.to_be_bytes()].concat())
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "a panic".to_owned())
}
