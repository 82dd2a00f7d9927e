//! How fast: measures Cairn and a bare baseline alternately in one run, and prints their ratios.
//!
//! Absolute figures depend on the machine and on who else uses it; a ratio to something that does the least possible, a
//! few seconds before and after on the same machine, much less so.

mod bare_http;
mod bare_rocks;
mod engine;
mod machine;
mod payload;
mod programs;
mod report;
mod rows;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use tempfile::TempDir;

use bare_http::Bodies;
use engine::HashIndex;
use machine::Machine;
use payload::Payload;
use programs::Cores;
use report::{Report, Row};
use rows::overload::attack::Attack;

/// Measures how fast Cairn is, as ratios to bare baselines in the same run.
#[derive(Debug, Parser)]
#[command(name = "ratios")]
struct Arguments {
    #[command(subcommand)]
    own: Option<Own>,
    #[command(flatten)]
    settings: Settings,
    /// Only these rows.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Which>,
    /// One JSON object on standard output instead of a table.
    #[arg(long)]
    json: bool,
}

/// How much is measured.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Settings {
    /// How often Cairn and the baseline take turns.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each turn lasts.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Entries of the log whose reads and space are measured.
    #[arg(long, default_value_t = 1_000_000)]
    entries: u64,
    /// Entries of the database that is opened.
    #[arg(long, default_value_t = 10_000_000)]
    large: u64,
    /// Logs of the database of many logs that is opened, and of the one whose logs are sealed.
    #[arg(long, default_value_t = 1_000)]
    logs: usize,
    /// Records of the log whose histories and searches are measured.
    #[arg(long, default_value_t = 10_000_000)]
    records: u64,
    /// A folder where the database of these records is kept for the next run: 10 million take some 11 GiB.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Where databases are made; the disk that is measured. Several GiB must be free.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// Cores of the servers, as `taskset -c` takes them [default: the first half, from four cores on; for `overload` the half that
    /// the devices interrupt more].
    #[arg(long)]
    server_cores: Option<String>,
    /// Cores of the load generator [default: the other half, from four cores on].
    #[arg(long)]
    load_cores: Option<String>,
    /// Only these attacks, where callers are measured beside some.
    #[arg(long, value_enum, value_delimiter = ',')]
    attacks: Vec<Attack>,
}

impl Settings {
    fn folder(&self) -> std::io::Result<TempDir> {
        tempfile::Builder::new().prefix("cairn-bench-").tempdir_in(&self.dir)
    }

    fn cores(&self) -> Cores {
        let split = Cores::split(std::thread::available_parallelism().map_or(1, usize::from));
        Cores { server: self.server_cores.clone().or(split.server), load: self.load_cores.clone().or(split.load) }
    }

    fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// Single appends over HTTP.
    Add,
    /// Batches over HTTP.
    Batches,
    /// Proofs and tiles over HTTP.
    Reads,
    /// Batches into the engine, without HTTP.
    EngineBatches,
    /// Records into the engine, without HTTP.
    EngineRecords,
    /// Batches of records over HTTP.
    Records,
    /// Bytes on disk.
    Space,
    /// Opening a large database.
    Opening,
    /// Appends that wait for witnesses.
    Witnesses,
    /// Checkpoints added to a witness.
    Witness,
    /// What callers notice while others abuse the server.
    Overload,
    /// Appends with keys at a signer process, and with an ML-DSA-44 key.
    Signer,
    /// A monitor beside a log under full load.
    Following,
    /// The history of an object and searches in a log of many records; only if it is asked for, as it fills that log first.
    History,
    /// Appends of records behind many sealed logs; only if it is asked for, as it seals them first.
    Sealed,
}

/// What this program starts itself for, in a process of its own.
#[derive(Debug, Subcommand)]
enum Own {
    /// Opens the database in a folder and tells how long that took.
    #[command(hide = true)]
    Open {
        /// The folder.
        folder: PathBuf,
    },
    /// Serves constants, until it is killed.
    #[command(hide = true)]
    Bare {
        /// The folder that has them.
        folder: PathBuf,
        /// Sync the bodies of POSTs before they are answered.
        #[arg(long)]
        synced: bool,
    },
    /// Writes to a bare RocksDB and tells how many entries per second.
    #[command(hide = true)]
    BareBatches {
        /// An empty folder.
        folder: PathBuf,
        /// Entries per commit.
        per_commit: f64,
        /// How long.
        seconds: u64,
    },
    /// Abuses a server for a while and tells what it got done.
    #[command(hide = true)]
    Attack {
        /// How.
        kind: Attack,
        /// The server.
        address: SocketAddr,
        /// What appends are told.
        token: String,
        /// How long.
        seconds: u64,
    },
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(own) = arguments.own {
        return own.run();
    }
    let settings = arguments.settings;
    let folder = settings.folder()?;
    let mut report = Report { machine: Machine::measure(folder.path())?, rows: Vec::new() };
    for which in Which::value_variants() {
        let is_wanted =
            if arguments.only.is_empty() { !which.is_asked_for_alone() } else { arguments.only.contains(which) };
        if is_wanted {
            eprintln!("{which:?}");
            report.rows.extend(which.measure(&settings)?);
        }
    }
    if arguments.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{}", report.markdown());
    }
    Ok(())
}

impl Own {
    fn run(self) -> anyhow::Result<()> {
        let told = match self {
            Self::Open { folder } => serde_json::to_string(&rows::opening::open(&folder)?)?,
            Self::Bare { folder, synced } => {
                return bare_http::serve(&folder, if synced { Bodies::Synced } else { Bodies::Dropped });
            }
            Self::BareBatches { folder, per_commit, seconds } => {
                let payload = Payload::new(u64::from(std::process::id()));
                bare_rocks::run(&folder, &payload, per_commit, Duration::from_secs(seconds))?.to_string()
            }
            Self::Attack { kind, address, token, seconds } => {
                let _files = cairn_listen::raise_open_files();
                let runtime = tokio::runtime::Runtime::new()?;
                let done = runtime.block_on(kind.run(address, token, Duration::from_secs(seconds)));
                serde_json::to_string(&done)?
            }
        };
        println!("{told}");
        Ok(())
    }
}

impl Which {
    /// Whether it takes so long to prepare that it is not measured with the others.
    const fn is_asked_for_alone(self) -> bool {
        matches!(self, Self::History | Self::Sealed)
    }

    fn measure(self, settings: &Settings) -> anyhow::Result<Vec<Row>> {
        let both = [HashIndex::With, HashIndex::Without];
        match self {
            Self::Add => rows::http::singles(settings),
            Self::Batches => Ok(vec![rows::http::batches(settings)?]),
            Self::Reads => rows::http::reads(settings),
            Self::EngineBatches => {
                both.into_iter().map(|index| rows::engine_batches::measure(settings, index)).collect()
            }
            Self::EngineRecords => Ok(vec![rows::engine_records::measure(settings)?]),
            Self::Records => Ok(vec![rows::records::measure(settings)?]),
            Self::Space => both.into_iter().map(|index| rows::space::measure(settings, index)).collect(),
            Self::Opening => Ok(vec![rows::opening::measure(settings)?, rows::opening::measure_many(settings)?]),
            Self::Witnesses => Ok(vec![rows::witnessed::measure(settings)?]),
            Self::Witness => rows::witness::measure(settings),
            Self::Overload => rows::overload::measure(settings),
            Self::Signer => rows::signer::measure(settings),
            Self::Following => Ok(vec![rows::following::measure(settings)?]),
            Self::History => rows::history::measure(settings),
            Self::Sealed => rows::sealed::measure(settings),
        }
    }
}
