//! `torture`: the command behind `make torture`.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cairn_torture::kinds::Kind;
use cairn_torture::{Plan, bitflip_worker, run, tally};
use clap::{Parser, Subcommand};

/// Breaks the real server again and again, and tells what became of what it had acknowledged.
#[derive(Debug, Parser)]
#[command(name = "torture")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Part>,
    /// What all choices follow from; the clock gives one if there is none.
    #[arg(long)]
    seed: Option<u64>,
    /// How long, over all kinds.
    #[arg(long, default_value_t = 10.0, value_parser = minutes)]
    minutes: f64,
    /// The kinds, separated by `|` or `,`; all of them if there is none.
    #[arg(long)]
    only: Option<String>,
    /// Worlds beside each other; as many as there are processors if none is given.
    #[arg(long)]
    hands: Option<usize>,
    /// Cycles per world.
    #[arg(long, default_value_t = 60)]
    cycles: u64,
    /// Only this world of each kind, to see again what one did.
    #[arg(long)]
    world: Option<u64>,
    /// Findings after which a kind is given up.
    #[arg(long, default_value_t = 20)]
    enough: u64,
    /// Where worlds are made: in memory if the system has such a place, else among temporary files.
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Shows flipped bits to the engine; started by the command itself.
    #[command(hide = true)]
    BitflipWorker {
        /// The folder of the sound database.
        #[arg(long)]
        victim: PathBuf,
        /// The log's key.
        #[arg(long)]
        vkey: String,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Part::BitflipWorker { victim, vkey }) = &arguments.command {
        return match bitflip_worker::run(victim, vkey) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error.to_string()),
        };
    }
    let kinds = match kinds(arguments.only.as_deref()) {
        Ok(kinds) => kinds,
        Err(words) => return failed(&words),
    };
    let memory = PathBuf::from("/dev/shm");
    let beside = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let plan = Plan {
        seed: arguments.seed.unwrap_or_else(clock),
        kinds,
        time: Duration::from_secs_f64((arguments.minutes * 60.0).clamp(1.0, 1e7)),
        hands: arguments.hands.unwrap_or(processors),
        cycles: arguments.cycles,
        world: arguments.world,
        enough: arguments.enough,
        folder: arguments.folder.unwrap_or(beside),
    };
    say(&format!("SEED={}, worlds in {}, {} at a time", plan.seed, plan.folder.display(), plan.hands));
    let done = run(&plan, std::io::stderr().is_terminal());
    let mut text = if plan.world.is_some() { tally::chosen(&done) } else { String::new() };
    text.push_str(&tally::table(&done));
    text.push('\n');
    for (kind, tally) in &done {
        // Numbers and a name are always JSON.
        text.push_str(&serde_json::to_string(&tally.line(*kind, plan.seed)).unwrap_or_default());
        text.push('\n');
    }
    if std::io::stdout().write_all(text.as_bytes()).is_err() {
        return ExitCode::FAILURE;
    }
    // Where no fault happened nothing was tried, whatever was found.
    let idle = done.iter().filter(|(_, tally)| tally.fired == 0).map(|(kind, _)| kind.name());
    let idle: Vec<_> = idle.collect();
    if !idle.is_empty() {
        say(&format!("no fault was seen to happen in: {}; give it more MINUTES", idle.join(", ")));
    }
    let is_clean = done.iter().all(|(_, tally)| tally.is_clean());
    if is_clean && idle.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn kinds(only: Option<&str>) -> Result<Vec<Kind>, String> {
    let Some(only) = only.filter(|only| !only.is_empty()) else { return Ok(Kind::ALL.to_vec()) };
    let names = only.split(['|', ',', ' ']).filter(|name| !name.is_empty());
    let known = || Kind::ALL.map(Kind::name).join(", ");
    let kinds = names.map(|name| Kind::parse(name).ok_or_else(|| format!("no kind {name:?}; there are: {}", known())));
    let kinds: Vec<Kind> = kinds.collect::<Result<_, _>>()?;
    // A run of nothing would end as one that found nothing.
    if kinds.is_empty() {
        return Err(format!("no kind in {only:?}; there are: {}", known()));
    }
    Ok(kinds)
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse().ok().filter(|minutes: &f64| minutes.is_finite() && *minutes > 0.0);
    minutes.ok_or_else(|| format!("{text:?} is no length of time: minutes, more than 0"))
}

fn clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64 % 1_000_000_007)
}

fn say(words: &str) {
    // Nobody may be listening.
    let _ = writeln!(std::io::stderr(), "torture: {words}");
}

fn failed(words: &str) -> ExitCode {
    say(words);
    ExitCode::from(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_names_no_kind_is_refused() {
        for only in ["|", " ", ",|", "kill|nope", "Kill"] {
            let words = kinds(Some(only)).unwrap_err();
            assert!(words.starts_with("no kind ") && words.contains("kill, points, syscall"), "{words}");
        }
        assert_eq!(kinds(Some("|power,kill")).unwrap(), [Kind::Power, Kind::Kill]);
        assert_eq!((kinds(None), kinds(Some(""))), (Ok(Kind::ALL.to_vec()), Ok(Kind::ALL.to_vec())));
    }

    #[test]
    fn minutes_are_a_length_of_time() {
        assert_eq!((minutes("0.5"), minutes("120")), (Ok(0.5), Ok(120.0)));
        for text in ["nan", "inf", "-3", "0", "", "ten"] {
            assert!(minutes(text).is_err(), "{text}");
        }
    }
}
