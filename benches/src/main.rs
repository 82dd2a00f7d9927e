//! How fast: measures Cairn and a bare baseline alternately in one run, and prints their ratios.
//!
//! Absolute figures depend on the machine and on who else uses it; a ratio to something that does the least possible, a
//! few seconds before and after on the same machine, much less so.

mod bare_rocks;
mod engine;
mod machine;
mod payload;
mod report;
mod rows;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use tempfile::TempDir;

use engine::HashIndex;
use machine::Machine;
use report::{Report, Row};

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
    /// Where databases are made; the disk that is measured. Several GiB must be free.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
}

impl Settings {
    fn folder(&self) -> std::io::Result<TempDir> {
        tempfile::Builder::new().prefix("cairn-bench-").tempdir_in(&self.dir)
    }

    fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// Batches into the engine, without HTTP.
    EngineBatches,
    /// Bytes on disk.
    Space,
    /// Opening a large database.
    Opening,
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
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(Own::Open { folder }) = arguments.own {
        println!("{}", serde_json::to_string(&rows::opening::open(&folder)?)?);
        return Ok(());
    }
    let settings = arguments.settings;
    let folder = settings.folder()?;
    let mut report = Report { machine: Machine::measure(folder.path())?, rows: Vec::new() };
    for which in Which::value_variants() {
        if arguments.only.is_empty() || arguments.only.contains(which) {
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

impl Which {
    fn measure(self, settings: &Settings) -> anyhow::Result<Vec<Row>> {
        let both = [HashIndex::With, HashIndex::Without];
        match self {
            Self::EngineBatches => {
                both.into_iter().map(|index| rows::engine_batches::measure(settings, index)).collect()
            }
            Self::Space => both.into_iter().map(|index| rows::space::measure(settings, index)).collect(),
            Self::Opening => Ok(vec![rows::opening::measure(settings)?]),
        }
    }
}
