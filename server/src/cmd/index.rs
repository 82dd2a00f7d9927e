//! `cairnd index rebuild`: every index anew, from the entries of the logs.

use std::process::ExitCode;

use anyhow::bail;
use cairn_tree::size::counted;
use cairnd::admin::Session;
use cairnd::engine::{self, Reindexed};
use clap::Subcommand;
use serde::Serialize;

use super::folder::Folder;
use super::{Data, print, print_json};

/// Damaged records that are named.
const SHOWN: usize = 100;

#[derive(Debug, Subcommand)]
pub(super) enum IndexCommand {
    /// Drop every index and make it anew from the entries.
    Rebuild(Rebuild),
}

/// Drop every index and make it anew from the entries.
///
/// That of leaf hashes and that of records, of one log or of all. No server may have the database open. An index holds
/// nothing that does not follow from the entries and what they disclose, so nothing can be lost; where the command is
/// ended before its time, the next start of the server goes on with it.
#[derive(Debug, clap::Args)]
pub(super) struct Rebuild {
    #[command(flatten)]
    data: Data,
    /// Only the indexes of the log of this name.
    #[arg(long, value_name = "NAME")]
    log: Option<String>,
    /// Print one JSON object per log.
    #[arg(long)]
    json: bool,
}

/// A log whose indexes were made anew, as `--json` shows it.
#[derive(Serialize)]
struct Line {
    log: String,
    size: u64,
    hash_index: bool,
    records: bool,
    /// Records that searches may miss, since what they say is damaged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    damaged: Vec<u64>,
}

impl IndexCommand {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Rebuild(rebuild) => rebuild.run(),
        }
    }
}

impl Rebuild {
    fn run(self) -> anyhow::Result<ExitCode> {
        let folder = Folder::open(&self.data)?;
        if Session::open(&folder.path)?.is_some() {
            bail!("a server has this database open; stop it first: it would go on with the indexes that it knows");
        }
        let mut told = Ok(());
        engine::reindex(&folder.engine_options(), self.log.as_deref(), &mut |done| {
            let shown = if self.json { print_json(&line(done)) } else { print(&described(&done)) };
            told = core::mem::replace(&mut told, Ok(())).and(shown);
        })?;
        told?;
        Ok(ExitCode::SUCCESS)
    }
}

fn line(done: Reindexed) -> Line {
    let Reindexed { log, size, hash_index, records, damaged } = done;
    let damaged = damaged.iter().map(|index| index.get()).collect();
    Line { log, size: size.get(), hash_index, records, damaged }
}

fn described(done: &Reindexed) -> String {
    let Reindexed { log, size, hash_index, records, damaged } = done;
    let indexes = match (hash_index, records) {
        (true, true) => "leaf hashes and records",
        (true, false) => "leaf hashes",
        (false, true) => "records",
        (false, false) => "nothing, for it has no index",
    };
    let line = format!("{log}: indexed {indexes}, {}", counted(size.get(), "entry", "entries"));
    if damaged.is_empty() {
        return line;
    }
    let count = counted(damaged.len() as u64, "record", "records");
    let shown: Vec<String> = damaged.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = if damaged.len() > SHOWN { " ..." } else { "" };
    format!("{line}; searches may miss {count}, of which what they say is damaged: {}{more}", shown.join(" "))
}
