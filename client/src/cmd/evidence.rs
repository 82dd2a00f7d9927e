//! `cairn evidence verify`: judges a file that a watcher, monitor or witness kept, offline, with nothing but the log's
//! key.

use core::fmt;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::failure::Failure;
use super::options::KeyOption;
use super::terminal::{Form, Terminal};
use crate::bounds;
use crate::fetch::shown;
use crate::files::read_bounded;
use crate::monitor::{self, Weight};

/// Judge what was kept against a log.
#[derive(Debug, Args)]
pub(super) struct Evidence {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Verify(Verify),
}

/// Judge an evidence file offline, with nothing but the log's key.
///
/// Exits 0 if the log's own signatures prove that it forked, to whoever knows its key. Exits 4 if the file is sound and
/// testimony only: what it says is its observer's word, which proves nothing to a third party; which of its heads the log
/// did sign is said. Exits 1 if the file does not show what it claims.
#[derive(Debug, Args)]
struct Verify {
    #[command(flatten)]
    key: KeyOption,
    /// The evidence file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// The judgement.
#[derive(Serialize)]
struct Report {
    kind: &'static str,
    weight: Weight,
    summary: String,
    /// What the signatures in the file show.
    shows: &'static str,
}

impl Evidence {
    pub(super) fn run(&self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let Command::Verify(verify) = &self.command;
        verify.run(form, terminal)
    }
}

impl Verify {
    fn run(&self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let bytes = read_bounded(&self.file, bounds::EVIDENCE_BYTES)?;
        let refused = |error| Failure::Refused(format!("{}: {error}", self.file.display()));
        let evidence = monitor::Evidence::decode(&bytes).map_err(refused)?;
        let keys = self.key.of(evidence.origin())?;
        let monitor::Verdict { weight, shows } = evidence.check(&keys).map_err(refused)?;
        // The words in the file are whoever's wrote it; these are made anew from its case.
        let summary = shown(&evidence.case().to_string());
        terminal.output.print(form, &Report { kind: evidence.case().name(), weight, summary, shows })?;
        match weight {
            Weight::Proven => Ok(()),
            Weight::Testimony => Err(Failure::Testimony),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { summary, shows, .. } = self;
        match self.weight {
            Weight::Proven => write!(f, "{summary}\nproven: {shows}"),
            // Nobody but its observer says so.
            Weight::Testimony => {
                write!(f, "claimed: {summary}\ntestimony, proves nothing to a third party: {shows}")
            }
        }
    }
}
