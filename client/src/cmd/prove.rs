//! `cairn prove`: a receipt for an entry that is in the log already.

use core::fmt;
use std::path::PathBuf;

use cairn_tree::hash::Hash;
use cairn_tree::receipt::Receipt;
use cairn_tree::size::LeafIndex;
use clap::{ArgGroup, Args};
use serde::Serialize;

use super::append::write_receipt;
use super::failure::Failure;
use super::options::{RemoteOptions, TrustOptions};
use super::sources;
use super::terminal::{Form, Terminal};
use crate::fetch::Wanted;

/// Get a receipt for an entry, by its index or by its bytes, and verify it.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("wanted").required(true).args(["index", "entry"])))]
pub(super) struct Prove {
    #[command(flatten)]
    remote: RemoteOptions,
    #[command(flatten)]
    trust: TrustOptions,
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
        let trust = self.trust.trust()?;
        let remote = self.remote.remote()?;
        let (entry, wanted) = match (self.index, &self.entry) {
            (Some(index), _) => {
                let index =
                    LeafIndex::new(index).map_err(|error| Failure::Usage(format!("--index {index}: {error}")))?;
                (remote.entry(index).await?, Wanted::Index(index))
            }
            (None, Some(path)) => {
                let entry = sources::read_entry(path, self.line, terminal.stdin)?;
                let leaf = Hash::leaf(&entry);
                (entry, Wanted::Leaf(leaf))
            }
            (None, None) => return Err(Failure::Usage("give --index N or an entry's file".to_owned())),
        };
        let answer = remote.inclusion(wanted).await?;
        let receipt =
            answer.receipt().ok_or_else(|| Failure::Refused("the log's answer has no checkpoint".to_owned()))?;
        check_index(wanted, &receipt)?;
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

/// The proof must be for the entry that was asked for; of several equal ones any will do.
fn check_index(wanted: Wanted, receipt: &Receipt) -> Result<(), Failure> {
    match wanted {
        Wanted::Index(index) if index != receipt.index() => Err(Failure::Refused(format!(
            "the log answered with a proof for entry {}, not for entry {index}",
            receipt.index()
        ))),
        _ => Ok(()),
    }
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
