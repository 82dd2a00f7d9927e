//! `cairn consistency`: did the log only grow between two sizes?

use core::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use cairn_tree::checkpoint::{LogKeys, SignedCheckpoint, VerifiedCheckpoint};
use cairn_tree::hash::Hash;
use cairn_tree::merkle::{Extension, Growth, Root};
use cairn_tree::policy::Trust;
use cairn_tree::size::{TreeSize, counted};
use clap::{ArgGroup, Args};
use serde::Serialize;

use super::failure::Failure;
use super::options::{OriginOption, RemoteOptions, TrustOptions};
use super::terminal::{Form, Terminal};
use crate::auditor::{self, TileReader};
use crate::bounds;
use crate::fetch::{Freshness, HeadKind, Remote};
use crate::files::read_bounded;

/// Verify that a log only grew: from a size, or from a checkpoint that was saved, to a larger size or to its head.
///
/// With a policy, the newer tree must be in a checkpoint that has met its quorum of witnesses.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("older").required(true).args(["from", "from_checkpoint"])))]
pub(super) struct Consistency {
    #[command(flatten)]
    remote: RemoteOptions,
    #[command(flatten)]
    trust: TrustOptions,
    #[command(flatten)]
    origin: OriginOption,
    /// The older size.
    #[arg(long, value_name = "N")]
    from: Option<u64>,
    /// A file with an older checkpoint of the log.
    #[arg(long, value_name = "FILE")]
    from_checkpoint: Option<PathBuf>,
    /// The newer size; without it, that of the log's checkpoint.
    #[arg(long, value_name = "N")]
    to: Option<u64>,
}

/// The verdict.
#[derive(Serialize)]
struct Report {
    consistent: bool,
    from: Point,
    to: Point,
    /// The consistency proof, as RFC 9162 orders it.
    proof: Vec<String>,
}

#[derive(Serialize)]
struct Point {
    size: u64,
    root: String,
}

impl Consistency {
    pub(super) async fn run(self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let (log, trust) = self.trust.one_log(self.origin.which(&self.remote.url()?))?;
        let saved = self.saved(&log)?;
        let to = self.to.map(|size| parse_size("--to", size)).transpose()?;
        let remote = self.remote.remote()?;
        let head = signed_head(&remote, &log, &trust, to).await?;
        let mut reader = TileReader::new(Arc::clone(&remote), bounds::PARALLEL_FETCHES);
        let mut known = Known { reader: &mut reader, head: head.tree() };
        let new = known.root(to.unwrap_or(head.size())).await?;
        let old = match (&saved, self.from) {
            (Some(saved), _) => saved.tree(),
            (None, Some(size)) => known.root(parse_size("--from", size)?).await?,
            (None, None) => return Err(Failure::Usage("give --from N or --from-checkpoint FILE".to_owned())),
        };
        let proof = prove(&remote, &mut reader, Extension { old, new }).await?;
        let report = Report { consistent: true, from: old.into(), to: new.into(), proof };
        terminal.output.print(form, &report)
    }

    fn saved(&self, log: &LogKeys) -> Result<Option<VerifiedCheckpoint>, Failure> {
        let Some(path) = &self.from_checkpoint else { return Ok(None) };
        let refused = |error: &dyn fmt::Display| Failure::Refused(format!("{}: {error}", path.display()));
        let bytes = read_bounded(path, bounds::NOTE_BYTES)?;
        let signed = SignedCheckpoint::parse(&bytes).map_err(|error| refused(&error))?;
        log.verify(&signed).map(Some).map_err(|error| refused(&error))
    }
}

/// Roots at sizes, from tiles that a signed head proves.
struct Known<'a> {
    reader: &'a mut TileReader,
    head: Root,
}

impl Known<'_> {
    async fn root(&mut self, size: TreeSize) -> Result<Root, Failure> {
        if size > self.head.size {
            let entries = counted(self.head.size.get(), "entry", "entries");
            return Err(Failure::Refused(format!("the log has {entries}, fewer than {size}")));
        }
        if size == self.head.size {
            return Ok(self.head);
        }
        Ok(self.reader.root_at(size, self.head, Freshness::AnyCache).await?)
    }
}

/// The checkpoint, or the log's newest head if only that reaches to the size. What witnesses are asked for, they have
/// seen of the checkpoint alone.
async fn signed_head(
    remote: &Remote,
    log: &LogKeys,
    trust: &Trust,
    to: Option<TreeSize>,
) -> Result<VerifiedCheckpoint, Failure> {
    let checkpoint = auditor::checkpoint(remote, trust, Freshness::PastCaches).await?;
    if to.is_none_or(|to| to <= checkpoint.size()) || trust.needs_witnesses() {
        return Ok(checkpoint);
    }
    match auditor::head(remote, log, HeadKind::Head, Freshness::PastCaches).await {
        Ok(head) => Ok(head),
        Err(auditor::AuditError::Fetch(error)) if error.is_absent() => Ok(checkpoint),
        Err(error) => Err(error.into()),
    }
}

/// Gets the log's own proof and verifies it; equal sizes and an empty start need none.
async fn prove(remote: &Remote, reader: &mut TileReader, claim: Extension) -> Result<Vec<String>, Failure> {
    let Extension { old, new } = claim;
    if old.size > new.size {
        let entries = counted(new.size.get(), "entry", "entries");
        return Err(Failure::Refused(format!("not consistent: the log has {entries}, it had {}", old.size)));
    }
    if old.size == new.size {
        let words = || format!("not consistent: two roots at size {}: {} and {}", old.size, text(old), text(new));
        return if old.hash == new.hash { Ok(Vec::new()) } else { Err(Failure::Refused(words())) };
    }
    if old.size == TreeSize::ZERO {
        return Ok(Vec::new());
    }
    let proof = match remote.consistency(Growth { from: old.size, to: new.size }).await {
        Ok(answer) => answer.proof,
        // A log of tiles alone makes no proofs; its readers do.
        Err(error) if error.is_absent() => reader.consistency(old.size, new, Freshness::AnyCache).await?,
        Err(error) => return Err(error.into()),
    };
    proof.verify(&claim).map_err(|error| Failure::Refused(format!("not consistent: {error}")))?;
    Ok(proof.hashes().iter().map(Hash::to_base64).collect())
}

fn text(root: Root) -> String {
    root.hash.to_base64()
}

fn parse_size(flag: &str, size: u64) -> Result<TreeSize, Failure> {
    TreeSize::new(size).map_err(|error| Failure::Usage(format!("{flag} {size}: {error}")))
}

impl From<Root> for Point {
    fn from(root: Root) -> Self {
        Self { size: root.size.get(), root: root.hash.to_base64() }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, proof, .. } = self;
        let (entries, hashes) = (counted(from.size, "entry", "entries"), counted(proof.len() as u64, "hash", "hashes"));
        write!(f, "consistent: {entries} ({}) grew to {} ({}), proven by {hashes}", from.root, to.size, to.root)
    }
}
