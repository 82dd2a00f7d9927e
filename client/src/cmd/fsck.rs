//! `cairn fsck`: re-reads a whole remote log and compares everything with its signed head.

use core::fmt;
use std::sync::Arc;

use cairn_tree::size::counted;
use clap::Args;
use serde::Serialize;

use super::failure::Failure;
use super::options::{OriginOption, ParallelOption, RemoteOptions, TrustOptions};
use super::terminal::{Form, Terminal};
use crate::auditor::{self, TileReader, Unsound, check_whole, seal_of};
use crate::fetch::{Freshness, shown};

/// Check a whole log through its tiles: every entry is hashed again, every tile, the root and the signed head compared.
///
/// With a policy, the head must have met its quorum of witnesses.
#[derive(Debug, Args)]
pub(super) struct Fsck {
    #[command(flatten)]
    remote: RemoteOptions,
    #[command(flatten)]
    trust: TrustOptions,
    #[command(flatten)]
    origin: OriginOption,
    #[command(flatten)]
    parallel: ParallelOption,
}

/// The verdict.
#[derive(Serialize)]
struct Report {
    sound: bool,
    origin: String,
    size: u64,
    root: String,
    entries: u64,
    tiles: u64,
    /// The log that continues this one, if it is sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    successor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Fsck {
    pub(super) async fn run(self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let (keys, trust) = self.trust.one_log(self.origin.which(&self.remote.url()?))?;
        let remote = self.remote.remote()?;
        let head = auditor::checkpoint(&remote, &trust, Freshness::PastCaches).await?;
        let progress = terminal.output.progress(head.size().get(), "entries");
        let checked =
            check_whole(&remote, &head, self.parallel.parallel, &mut |entries| progress.set_position(entries)).await;
        progress.finish_and_clear();
        let mut report = Report {
            sound: true,
            origin: head.origin().to_string(),
            size: head.size().get(),
            root: head.root().to_base64(),
            entries: 0,
            tiles: 0,
            successor: None,
            place: None,
            reason: None,
        };
        match checked {
            Ok(checked) => {
                (report.entries, report.tiles) = (checked.entries, checked.tiles);
                let mut reader = TileReader::new(Arc::clone(&remote), self.parallel.parallel);
                // Other logs than Cairn's don't serve single entries, and say nothing of the kind.
                let seal = seal_of(&remote, &mut reader, (head.tree(), &keys)).await.ok().flatten();
                report.successor = seal.map(|seal| seal.successor().to_string());
                terminal.output.print(form, &report)
            }
            Err(Unsound { place, fault, is_missing }) => {
                let (place, fault) = (shown(&place), shown(&fault));
                let verdict = if is_missing { "not checked in full" } else { "not sound" };
                let words = format!("{verdict}: {place}: {fault}");
                report.entries = progress.position();
                (report.sound, report.place, report.reason) = (false, Some(place), Some(fault));
                if form == Form::Json {
                    terminal.output.print(form, &report)?;
                }
                Err(Failure::Refused(words))
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, size, root, tiles, .. } = self;
        let (entries, tiles) = (counted(*size, "entry", "entries"), counted(*tiles, "tile", "tiles"));
        write!(f, "sound: {origin} has the {entries}, {tiles} and the root {root} that its key signed")?;
        let Some(successor) = &self.successor else { return Ok(()) };
        write!(f, "; it is sealed, and {} continues it (see: cairn follow)", shown(successor))
    }
}
