//! `cairn verify`: is this entry in the log? Offline, from a receipt. (`cairn verify record` stands in
//! [`super::verify_record`].)

use core::fmt;
use std::path::PathBuf;

use cairn_tree::policy::CountedWitness;
use cairn_tree::receipt::{Receipt, VerifiedReceipt};
use cairn_tree::size::counted;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::failure::Failure;
use super::options::TrustOptions;
use super::sources;
use super::terminal::{Form, Terminal};
use super::verify_record::VerifyRecord;
use crate::bounds;
use crate::fetch::shown;
use crate::files::read_bounded;

/// Verify offline that an entry is in a log: the entry, its receipt, and whom to trust.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Verify {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    trust: TrustOptions,
    /// The entry's receipt (C2SP tlog-proof).
    #[arg(long, value_name = "FILE.tlog-proof", required = true)]
    proof: Option<PathBuf>,
    /// The entry is this line of the file (counted from 1), without its newline, as `append --lines` logs it.
    #[arg(long, value_name = "N")]
    line: Option<u64>,
    /// The entry's bytes; `-` reads standard input. A file called `record` is given as `./record`.
    #[arg(value_name = "ENTRY_FILE", required = true)]
    entry: Option<PathBuf>,
}

/// What else can be verified.
#[derive(Debug, Subcommand)]
enum What {
    Record(VerifyRecord),
}

/// The verdict.
#[derive(Serialize)]
#[serde(untagged)]
enum Verdict {
    Included {
        included: bool,
        origin: String,
        index: u64,
        leaf_hash: String,
        size: u64,
        root: String,
        witnesses: Vec<Witness>,
    },
    Not {
        included: bool,
        reason: String,
    },
}

#[derive(Serialize)]
pub(super) struct Witness {
    name: String,
    time: u64,
}

impl Witness {
    /// The witnesses that count.
    pub(super) fn of(counted: &[CountedWitness]) -> Vec<Self> {
        counted.iter().map(|one| Self { name: one.name.to_string(), time: one.time.seconds() }).collect()
    }
}

impl Verify {
    pub(super) fn run(&self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        if let Some(What::Record(record)) = &self.what {
            return record.run(form, terminal);
        }
        let (Some(proof), Some(entry)) = (&self.proof, &self.entry) else {
            return Err(Failure::Usage("an entry and --proof, its receipt, are needed".to_owned()));
        };
        if !self.trust.has_keys_of_several()? {
            self.trust.required()?;
        }
        let receipt = read_bounded(proof, bounds::RECEIPT_BYTES)?;
        let entry = match sources::read_entry(entry, self.line, terminal.stdin) {
            // What is too long for any log is in none.
            Err(Failure::Refused(reason)) => return refuse(reason, form, terminal),
            other => other?,
        };
        let verified = Receipt::parse(&receipt).map_err(|error| format!("{}: {error}", proof.display()));
        let verified = verified.and_then(|receipt| {
            let trust = self.trust.of_origin(receipt.checkpoint().unverified().origin());
            let trust = trust.map_err(|failure| failure.to_string())?;
            receipt.verify(&entry, &trust).map_err(|error| error.to_string())
        });
        match verified {
            Ok(verified) => terminal.output.print(form, &Verdict::included(&verified)),
            Err(reason) => refuse(reason, form, terminal),
        }
    }
}

fn refuse(reason: String, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let reason = shown(&reason);
    if form == Form::Json {
        terminal.output.print(form, &Verdict::Not { included: false, reason: reason.clone() })?;
    }
    Err(Failure::Refused(format!("not included: {reason}")))
}

impl Verdict {
    fn included(receipt: &VerifiedReceipt) -> Self {
        let head = receipt.checkpoint();
        Self::Included {
            included: true,
            origin: head.origin().to_string(),
            index: receipt.index().get(),
            leaf_hash: receipt.leaf_hash().to_base64(),
            size: head.size().get(),
            root: head.root().to_base64(),
            witnesses: Witness::of(receipt.witnesses()),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Included { origin, index, size, witnesses, .. } => {
                let entries = counted(*size, "entry", "entries");
                write!(f, "included: entry {index} of {origin}, in its signed tree of {entries}")?;
                let names: Vec<&str> = witnesses.iter().map(|witness| witness.name.as_str()).collect();
                if names.is_empty() { Ok(()) } else { write!(f, ", witnessed by {}", names.join(", ")) }
            }
            Self::Not { reason, .. } => write!(f, "not included: {reason}"),
        }
    }
}
