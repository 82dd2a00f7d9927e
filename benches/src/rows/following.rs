//! `cairn monitor` beside a log that is appended to as fast as it can: whether it keeps up, and how far behind it is.
//!
//! The monitor reads and hashes every entry over HTTP. While batches come, the log's head and what the monitor has verified
//! are looked at again and again: how far behind it is, in the seconds in which the log grew by that. When the load ends,
//! the time that the monitor takes to have verified all of it tells the same from the other side. The log alone and the log
//! with the monitor take turns, since the two share the machine: a log that is slowed down is no success of its follower.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::Settings;
use crate::programs::{Ask, ENTRY_BYTES, Loaded, Server, init, load, vkey};
use crate::report::{Rounds, Row, median};

/// The connections that batches come by, as in the row of batches.
const BATCHERS: usize = 16;
/// How often head and figures are looked at.
const SAMPLE: Duration = Duration::from_millis(100);
/// How long the monitor may take for the rest when the load is over.
const PATIENCE: Duration = Duration::from_secs(120);
/// The wait between two looks of the monitor, unless it is behind anyway.
const INTERVAL: &str = "1s";
/// A follower that does not fall behind verifies as fast as the log grows; clocks and steps leave so much room.
const LEAST_RATIO: f64 = 0.95;
/// Within so many seconds after the load it has verified all: what a look that is under way and the next one take.
const MOST_REST: f64 = 5.0;

/// What was seen of one round.
struct Seen {
    loaded: Loaded,
    /// Entries per second that the monitor verified in the second half of the load.
    verified: f64,
    /// Entries per second by which the log grew meanwhile.
    grown: f64,
    /// How many seconds behind it was, sample by sample.
    behind: Vec<f64>,
    /// Seconds until all was verified.
    rest: f64,
    /// Processor seconds of the monitor per million entries.
    cost: f64,
    /// The most memory that it had, in MiB.
    peak: f64,
}

/// The rate at which the monitor verifies, against the rate at which the log grows.
pub(crate) fn measure(settings: &Settings) -> anyhow::Result<Row> {
    let (mut rounds, mut seen, mut alone) = (Rounds::default(), Vec::new(), Vec::new());
    for round in 0..settings.rounds {
        let without = unfollowed(settings)?;
        let one = followed(settings)?;
        eprintln!(
            "  round {round}: {:.0}/s verified of {:.0}/s, at most {:.1} s behind, the rest in {:.1} s; alone {without:.0}/s; {}",
            one.verified,
            one.grown,
            most(&one.behind),
            one.rest,
            one.loaded.describe()
        );
        rounds.push(one.verified, one.grown);
        alone.push(one.loaded.rate_per_s / without);
        seen.push(one);
    }
    let what = "entries/s that the monitor verifies while batches of 1,000 x 300 B come by 16 connections; bare: that the \
                log grows by meanwhile";
    let mut row = rounds.row("monitor at full append rate", what, "never falls behind: >= 0.95, the rest within 5 s");
    let worst = most(&seen.iter().map(|one| most(&one.behind)).collect::<Vec<_>>());
    let rest = most(&seen.iter().map(|one| one.rest).collect::<Vec<_>>());
    row.met = Some(row.ratio >= Some(LEAST_RATIO) && rest <= MOST_REST);
    let middle = |figure: fn(&Seen) -> f64| median(&seen.iter().map(figure).collect::<Vec<_>>());
    row.notes.push(format!("{:.1} s behind at the median, {worst:.1} s at most", middle(|one| median(&one.behind))));
    row.notes.push(format!("the rest verified {rest:.1} s after the load at the latest"));
    let (cost, peak) = (middle(|one| one.cost), middle(|one| one.peak));
    row.notes.push(format!("{cost:.2} s of processor per million entries, at most {peak:.0} MiB"));
    row.notes.push(format!("the log takes in {:.2} of what it does without a monitor", median(&alone)));
    Ok(row)
}

/// What the log takes in by itself.
fn unfollowed(settings: &Settings) -> anyhow::Result<f64> {
    let (data, cores) = (settings.folder()?, settings.cores());
    let log = Server::cairn(data.path(), init(data.path())?, &cores)?;
    Ok(load(&log, ask(settings), &cores)?.rate_per_s)
}

fn ask(settings: &Settings) -> Ask {
    Ask { mode: "batch", connections: BATCHERS, time: settings.time(), size: ENTRY_BYTES }
}

fn followed(settings: &Settings) -> anyhow::Result<Seen> {
    let (data, state, cores) = (settings.folder()?, settings.folder()?, settings.cores());
    let token = init(data.path())?;
    let log = Server::cairn(data.path(), token, &cores)?;
    let key = vkey(data.path())?;
    let arguments = ["--key", &key, "--interval", INTERVAL, "--url", log.log_url()];
    let monitor = Server::monitor(&arguments, state.path(), &cores)?;
    let done = AtomicBool::new(false);
    let (loaded, samples) = std::thread::scope(|scope| -> anyhow::Result<_> {
        let sampling = scope.spawn(|| sample(&log, &monitor, &done));
        let loaded = load(&log, ask(settings), &cores);
        done.store(true, Ordering::SeqCst);
        let samples = sampling.join().map_err(|_| anyhow::anyhow!("the sampling panicked"))??;
        Ok((loaded?, samples))
    })?;
    let ended = Instant::now();
    let size = head(&log)?;
    while verified_by(&monitor)? < size {
        anyhow::ensure!(ended.elapsed() < PATIENCE, "the monitor has verified {} of {size}", verified_by(&monitor)?);
        std::thread::sleep(Duration::from_millis(10));
    }
    let rest = ended.elapsed().as_secs_f64();
    let (grown, verified) = rates(&samples).context("the monitor made no two steps in half of the time")?;
    let behind = samples.iter().map(|sample| sample.behind(&samples)).collect();
    let cost = monitor.used() * 1e6 / size as f64;
    let peak = monitor.peak_mib();
    Ok(Seen { loaded, verified, grown, behind, rest, cost, peak })
}

/// How large the log was and how much of it was verified, so many seconds after the beginning.
struct Sample {
    at: f64,
    size: u64,
    verified: u64,
}

impl Sample {
    /// How long ago the log was as large as what is verified now.
    fn behind(&self, all: &[Self]) -> f64 {
        let then = all.iter().find(|sample| sample.size >= self.verified).map_or(self.at, |sample| sample.at);
        if self.verified >= self.size { 0.0 } else { self.at - then }
    }
}

/// By how many entries per second the log grew, and how many were verified, in the second half of the time: at first there
/// is little to read, and the monitor learns how much it can read at a time. What is verified grows by steps, so that the
/// time is counted from one step to another.
fn rates(samples: &[Sample]) -> Option<(f64, f64)> {
    let half = samples.split_at(samples.len() / 2).1;
    let steps: Vec<&Sample> = half
        .windows(2)
        .filter(|two| matches!(two, [one, next] if one.verified < next.verified))
        .filter_map(|two| two.last())
        .collect();
    let (first, last) = (steps.first()?, steps.last()?);
    let per_second = |entries: u64| entries as f64 / (last.at - first.at);
    (last.at > first.at).then(|| (per_second(last.size - first.size), per_second(last.verified - first.verified)))
}

fn sample(log: &Server, monitor: &Server, done: &AtomicBool) -> anyhow::Result<Vec<Sample>> {
    let begun = Instant::now();
    let mut samples = Vec::new();
    while !done.load(Ordering::SeqCst) {
        // What is verified is asked first: the log may only be ahead of it.
        let verified = verified_by(monitor)?;
        let size = head(log)?;
        samples.push(Sample { at: begun.elapsed().as_secs_f64(), size, verified });
        std::thread::sleep(SAMPLE);
    }
    Ok(samples)
}

/// The size of the log's newest head.
fn head(log: &Server) -> anyhow::Result<u64> {
    let head = String::from_utf8(log.get("head")?)?;
    Ok(head.lines().nth(1).context("a size")?.parse()?)
}

/// How many entries the monitor has verified.
fn verified_by(monitor: &Server) -> anyhow::Result<u64> {
    let figures = String::from_utf8(monitor.get_path("/metrics")?)?;
    let line = figures.lines().find_map(|line| line.strip_prefix("cairn_monitor_verified_entries{log=\"log\"} "));
    Ok(line.context("the monitor's figure")?.parse()?)
}

fn most(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(0.0, f64::max)
}
