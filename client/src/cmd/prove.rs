//! `cairn prove`: a receipt for an entry that is in the log already.

use core::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use cairn_tree::hash::Hash;
use cairn_tree::policy::Trust;
use cairn_tree::receipt::Receipt;
use cairn_tree::size::LeafIndex;
use cairn_tree::wire::read::InclusionAnswer;
use clap::{ArgGroup, Args};
use serde::Serialize;

use super::append::write_receipt;
use super::failure::Failure;
use super::options::{OriginOption, RemoteOptions, TrustOptions};
use super::sources;
use super::terminal::{Form, Terminal};
use crate::auditor::{TileReader, receipt_from_tiles};
use crate::bounds;
use crate::fetch::{Remote, Wanted};

/// Get a receipt for an entry, by its index or by its bytes, and verify it.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("wanted").required(true).args(["index", "entry"])))]
pub(super) struct Prove {
    #[command(flatten)]
    remote: RemoteOptions,
    #[command(flatten)]
    trust: TrustOptions,
    #[command(flatten)]
    origin: OriginOption,
    /// The entry's index.
    #[arg(long, value_name = "N")]
    index: Option<u64>,
    /// The entry is this line of the file (counted from 1), without its newline.
    #[arg(long, value_name = "N", requires = "entry")]
    line: Option<u64>,
    /// Where the receipt is written; without it, it is printed.
    #[arg(long, value_name = "FILE.tlog-proof")]
    out: Option<PathBuf>,
    /// The entry's bytes; `-` reads standard input.
    #[arg(value_name = "ENTRY_FILE")]
    entry: Option<PathBuf>,
}

/// The result.
#[derive(Serialize)]
struct Report {
    index: u64,
    leaf_hash: String,
    size: u64,
    verified: bool,
    /// The path of the receipt, or the receipt itself.
    receipt: String,
    #[serde(skip)]
    is_path: bool,
}

impl Prove {
    pub(super) async fn run(self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let trust = self.trust.among(self.origin.which(&self.remote.url()?))?;
        let remote = self.remote.remote()?;
        let (entry, receipt) = match (self.index, &self.entry) {
            (Some(index), _) => by_index(&remote, trust.as_ref(), index).await?,
            (None, Some(path)) => {
                let entry = sources::read_entry(path, self.line, terminal.stdin)?;
                let receipt = by_leaf(&remote, Hash::leaf(&entry)).await?;
                (entry, receipt)
            }
            (None, None) => return Err(Failure::Usage("give --index N or an entry's file".to_owned())),
        };
        match &trust {
            Some(trust) => drop(
                receipt
                    .verify(&entry, trust)
                    .map_err(|error| Failure::Refused(format!("the log's receipt is refused: {error}")))?,
            ),
            None => terminal.output.say("cairn: neither --key nor --policy: the receipt is not verified"),
        }
        let text = receipt.to_string();
        if let Some(path) = &self.out {
            write_receipt(path, &text)?;
        }
        let report = Report {
            index: receipt.index().get(),
            leaf_hash: Hash::leaf(&entry).to_base64(),
            size: receipt.checkpoint().unverified().size().get(),
            verified: trust.is_some(),
            is_path: self.out.is_some(),
            receipt: self.out.map_or(text, |path| path.display().to_string()),
        };
        terminal.output.print(form, &report)
    }
}

/// Asks for the entry and its proof, or makes the proof from tiles where the log makes none.
async fn by_index(remote: &Arc<Remote>, trust: Option<&Trust>, index: u64) -> Result<(Vec<u8>, Receipt), Failure> {
    let index = LeafIndex::new(index).map_err(|error| Failure::Usage(format!("--index {index}: {error}")))?;
    match (remote.entry(index).await, trust) {
        (Ok(entry), _) => {
            let receipt = receipt_of(remote.inclusion(Wanted::Index(index)).await?)?;
            // With the proof of another entry nothing would be known about this one.
            if receipt.index() != index {
                let other = receipt.index();
                return Err(Failure::Refused(format!(
                    "the log answered with a proof for entry {other}, not for {index}"
                )));
            }
            Ok((entry, receipt))
        }
        (Err(error), Some(trust)) if error.is_absent() => {
            let mut reader = TileReader::new(Arc::clone(remote), bounds::PARALLEL_FETCHES);
            Ok(receipt_from_tiles(remote, &mut reader, trust, index).await?)
        }
        (Err(error), _) => Err(error.into()),
    }
}

/// Asks for the proof of some entry with this leaf hash; of several equal ones any will do.
async fn by_leaf(remote: &Remote, leaf: Hash) -> Result<Receipt, Failure> {
    match remote.inclusion(Wanted::Leaf(leaf)).await {
        Ok(answer) => receipt_of(answer),
        Err(error) if error.is_absent() => Err(Failure::Refused(format!(
            "the log has no entry with these bytes, or does not look entries up: {error}"
        ))),
        Err(error) => Err(error.into()),
    }
}

fn receipt_of(answer: InclusionAnswer) -> Result<Receipt, Failure> {
    answer.receipt().ok_or_else(|| Failure::Refused("the log's answer has no checkpoint".to_owned()))
}

/// The receipt as it belongs into a file, or where it has been put.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_path {
            write!(f, "{} -> {}", self.index, self.receipt)
        } else {
            f.write_str(self.receipt.trim_end_matches('\n'))
        }
    }
}
