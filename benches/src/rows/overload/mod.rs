//! What callers notice while others abuse the server: the 99th percentile of their appends and proofs with an attack on,
//! beside the same without, in turns; and the server's memory. Where records are what the attackers ask for, it is that of
//! records which are brought one at a time.

pub(crate) mod attack;
mod interrupts;
mod memory;

use std::path::Path;
use std::process::Child;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum as _;

use self::attack::{Attack, Done};
use self::memory::Memory;
use crate::Settings;
use crate::programs::{Ask, Cores, ENTRY_BYTES, Loaded, Server, attackers, init, load};
use crate::report::{Rounds, Row};

/// Callers that behave: few enough that they do not fill the server themselves.
const CALLERS: usize = 4;
/// How long an attack has before anything is measured.
const LEAD: Duration = Duration::from_secs(2);
/// Rounds before those that count, at most, where caches fill while records are read.
const FILLING: usize = 24;
/// Entries of the log, in batches, before the first round: enough for proofs and a large bundle.
const BATCHES: Duration = Duration::from_secs(1);

/// A row of appends and one of proofs for each attack.
pub(crate) fn measure(settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let data = settings.folder()?;
    let token = init(data.path())?;
    let cores = apart(settings);
    let server = Server::cairn(data.path(), token, &cores.callers)?;
    for mode in ["batch", "records"] {
        load(&server, Ask { mode, connections: 4, time: BATCHES, size: ENTRY_BYTES }, &cores.callers)?;
    }
    let mut rows = Vec::new();
    let all = Attack::value_variants().iter();
    for attack in all.filter(|attack| settings.attacks.is_empty() || settings.attacks.contains(attack)) {
        rows.extend(attacked(settings, (&server, data.path()), &cores, *attack)?);
    }
    Ok(rows)
}

/// The attackers have a core of their own, so that the callers are not slowed by them but by the server alone.
struct Apart {
    callers: Cores,
    attackers: Option<String>,
}

fn apart(settings: &Settings) -> Apart {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 4 || settings.server_cores.is_some() || settings.load_cores.is_some() {
        let callers = settings.cores();
        return Apart { attackers: callers.load.clone(), callers };
    }
    let interrupts = std::fs::read_to_string("/proc/interrupts").unwrap_or_default();
    let mut halves = [(0, cores / 2 - 1), (cores / 2, cores - 1)];
    halves
        .sort_by_key(|(first, last)| (*first..=*last).map(|core| interrupts::of_core(&interrupts, core)).sum::<u64>());
    // The server has the cores that serve its disk, as it has on a machine of its own.
    let [(_, load), (first, last)] = halves;
    let callers = Cores { server: Some(format!("{first}-{last}")), load: Some((load - 1).to_string()) };
    Apart { callers, attackers: Some(load.to_string()) }
}

fn attacked(
    settings: &Settings,
    (server, data): (&Server, &Path),
    cores: &Apart,
    attack: Attack,
) -> anyhow::Result<Vec<Row>> {
    let modes: &[&'static str] = if attack.reads_records() { &["record"] } else { &["single", "proof"] };
    let mut rounds = vec![Rounds::default(); modes.len()];
    let (mut done, mut memory) = (Done::default(), Memory::before(server, data, attack)?);
    let ask = |mode: &&'static str| Ask { mode, connections: CALLERS, time: settings.time(), size: ENTRY_BYTES };
    if attack.reads_records() {
        fill(settings, server, cores, attack, &mut memory)?;
    }
    for round in 0..settings.rounds {
        let quiet: Vec<_> = modes.iter().map(|mode| load(server, ask(mode), &cores.callers)).collect();
        Memory::begin(server)?;
        let time = LEAD + 2 * settings.time() + LEAD;
        let attackers = attackers(server, attack, time, cores.attackers.as_deref())?;
        std::thread::sleep(LEAD);
        let busy: Vec<_> = modes.iter().map(|mode| load(server, ask(mode), &cores.callers)).collect();
        done = finish(attackers)?;
        anyhow::ensure!(done.connections > 0, "{attack:?} did not reach the server");
        for ((rounds, busy), quiet) in rounds.iter_mut().zip(busy).zip(quiet) {
            let (busy, quiet): (Loaded, Loaded) = (busy?, quiet?);
            eprintln!("  {attack:?} {round}: p99 {:.2} ms, without {:.2} ms; {done:?}", busy.p99_ms, quiet.p99_ms);
            rounds.push(busy.p99_ms, quiet.p99_ms);
        }
        eprintln!("  {attack:?} {round}: {}", memory.end(server)?);
    }
    let rows = modes.iter().zip(&rounds).map(|(mode, rounds)| {
        let what = format!("p99 in ms of {mode} by {CALLERS} callers, beside the same without the attack");
        let mut row = rounds.row(&format!("{attack:?}, {mode}"), &what, "<= 2, memory flat");
        row.met = Some(row.ratio <= Some(2.0) && memory.is_flat());
        let Done { connections, closed, bytes, refused } = done;
        row.notes.push(format!(
            "{connections} connections, {closed} closed, {} MiB sent, {refused} requests refused; {}",
            bytes >> 20,
            memory.told()
        ));
        row
    });
    Ok(rows.collect())
}

/// Lets caches fill that are empty after a start, as they do where a server is read from for longer than a row lasts: in rounds
/// of the attack beside the same callers, in which nothing but the memory is looked at.
fn fill(
    settings: &Settings,
    server: &Server,
    cores: &Apart,
    attack: Attack,
    memory: &mut Memory,
) -> anyhow::Result<()> {
    for _ in 0..FILLING {
        Memory::begin(server)?;
        let attackers = attackers(server, attack, settings.time(), cores.attackers.as_deref())?;
        let ask = Ask { mode: "record", connections: CALLERS, time: settings.time(), size: ENTRY_BYTES };
        let asked = load(server, ask, &cores.callers);
        finish(attackers)?;
        asked?;
        if !memory.fills(server)? {
            break;
        }
    }
    Ok(())
}

fn finish(attackers: Child) -> anyhow::Result<Done> {
    let output = attackers.wait_with_output()?;
    serde_json::from_slice(&output.stdout).context("the attackers' report")
}
