//! `cairn load`: how fast does the log answer?

use cairn_tree::size::TreeSize;
use clap::{Args, ValueEnum};

use super::duration::Span;
use super::failure::Failure;
use super::options::{RemoteOptions, random};
use super::terminal::{Form, Terminal};
use crate::bounds;
use crate::fetch::{Freshness, HeadKind, Remote};
use crate::load::{self, LoadError, Mode, Plan};

/// Measure how fast a log answers. Nothing is verified.
#[derive(Debug, Args)]
pub(super) struct Load {
    #[command(flatten)]
    remote: RemoteOptions,
    /// What is asked: one append, one with its receipt, a batch of them, a batch of audit records of 1.5 KB (then --url is
    /// the server's, without /logs/NAME), an inclusion proof, or a tile.
    #[arg(long, value_enum, default_value = "single")]
    mode: ModeName,
    /// How many connections ask at the same time, each again as soon as it is answered.
    #[arg(long, value_name = "N", default_value_t = bounds::LOAD_DEFAULT_CONNECTIONS, value_parser = connections)]
    connections: usize,
    /// How long.
    #[arg(long, value_name = "TIME", default_value_t = Span(bounds::LOAD_DURATION), value_parser = some_time)]
    duration: Span,
    /// The bytes of one entry.
    #[arg(long, value_name = "BYTES", default_value_t = bounds::LOAD_ENTRY_BYTES, value_parser = entry_size)]
    size: usize,
    /// The entries of one batch.
    #[arg(long, value_name = "N", default_value_t = bounds::BATCH_ENTRIES, value_parser = batch_size)]
    batch: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ModeName {
    Single,
    Receipt,
    Batch,
    Records,
    Proof,
    Tile,
}

fn connections(text: &str) -> Result<usize, String> {
    within(text, 1, bounds::LOAD_CONNECTIONS)
}

fn entry_size(text: &str) -> Result<usize, String> {
    within(text, 0, bounds::ENTRY_BYTES)
}

fn batch_size(text: &str) -> Result<usize, String> {
    within(text, 1, bounds::LOAD_BATCH)
}

fn some_time(text: &str) -> Result<Span, String> {
    let span: Span = text.parse()?;
    if span.0.is_zero() { Err("must be longer than nothing".into()) } else { Ok(span) }
}

fn within(text: &str, least: usize, most: usize) -> Result<usize, String> {
    text.parse().ok().filter(|n| (least..=most).contains(n)).ok_or_else(|| format!("must be {least} to {most}"))
}

impl Load {
    pub(super) async fn run(self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let mode = match self.mode {
            ModeName::Single => Mode::Single,
            ModeName::Receipt => Mode::Receipt,
            ModeName::Batch => Mode::Batch,
            ModeName::Records => Mode::Records,
            ModeName::Proof => Mode::Proof,
            ModeName::Tile => Mode::Tile,
        };
        let tree = match mode {
            Mode::Single | Mode::Receipt | Mode::Batch | Mode::Records => TreeSize::ZERO,
            Mode::Proof | Mode::Tile => claimed_size(&*self.remote.remote()?).await?,
        };
        let [a, b, c, d, e, f, g, h, ..] = random()?;
        let plan = Plan {
            mode,
            connections: self.connections,
            duration: self.duration.0,
            size: self.size,
            batch: self.batch,
            tree,
            run: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
        };
        let measured = load::run(&self.remote.url()?, self.remote.token()?.as_ref(), plan).await;
        let measured = measured.map_err(|error| match error {
            LoadError::Tls | LoadError::Address(_) => Failure::Usage(error.to_string()),
            LoadError::TooSmall { .. }
            | LoadError::Random(_)
            | LoadError::NothingWorked { .. }
            | LoadError::TooShort(_) => Failure::Refused(error.to_string()),
        })?;
        terminal.output.print(form, &measured)
    }
}

/// How many entries the log says that it has: enough to know what to ask for.
async fn claimed_size(remote: &Remote) -> Result<TreeSize, Failure> {
    Ok(remote.head(HeadKind::Checkpoint, Freshness::AnyCache).await?.unverified().size())
}
