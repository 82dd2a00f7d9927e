//! `cairn evidence`: judges a file that a watcher kept, offline, with nothing but the log's key.

use core::fmt;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::failure::Failure;
use super::options::KeyOption;
use super::terminal::{Form, Terminal};
use crate::bounds;
use crate::fetch::shown;
use crate::files::read_bounded;
use crate::monitor::{Evidence, Weight};

/// Judge offline what a watcher kept as evidence against a log.
///
/// Exits 0 if the signatures in the file are the log's and show what the file claims, else 1.
#[derive(Debug, Args)]
pub(super) struct CheckEvidence {
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
}

impl CheckEvidence {
    pub(super) fn run(&self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let key = self.key.key()?;
        let bytes = read_bounded(&self.file, bounds::EVIDENCE_BYTES)?;
        let refused = |error| Failure::Refused(format!("{}: {error}", self.file.display()));
        let evidence = Evidence::decode(&bytes).map_err(refused)?;
        let weight = evidence.check(&key).map_err(refused)?;
        // The words in the file are whoever's wrote it; these are made anew from what was checked.
        let summary = shown(&evidence.case().to_string());
        terminal.output.print(form, &Report { kind: evidence.case().name(), weight, summary })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.summary)?;
        f.write_str(match self.weight {
            Weight::Proven => "proven: the log's own signatures contradict each other",
            Weight::Witnessed => "the signatures are the log's; what it did with them is its observer's word",
        })
    }
}
