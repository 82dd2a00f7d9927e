//! `cairn keys` and `cairn check-keys`: which keys sign for a log now, followed from one that is trusted.

use core::fmt;
use std::path::PathBuf;

use cairn_tree::checkpoint::Origin;
use cairn_tree::note::VerifierKey;
use cairn_tree::statement::KeyChain;
use cairn_tree::wire::keys::StatementAnswer;
use clap::Args;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::options::{Asked, KeyOption, LogOptions, OriginOption};
use super::terminal::{Form, Terminal};
use crate::auditor::{follow_keys, follow_statements};
use crate::bounds;
use crate::fetch::shown;
use crate::files::{read_bounded, write_new};

/// Follow a log's keys: from one that you trust to those that sign its heads now.
///
/// Each change of keys is an entry of the log that the keys before it have signed. Every statement is verified with --key
/// and found in the log, and the newest head must be signed by all keys that they lead to.
#[derive(Debug, Args)]
pub(super) struct Keys {
    #[command(flatten)]
    log: LogOptions,
    /// Keep the statements in this file, for `cairn check-keys`.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

/// Follow a log's keys offline, along the statements that `cairn keys --save` has kept.
#[derive(Debug, Args)]
pub(super) struct CheckKeys {
    #[command(flatten)]
    key: KeyOption,
    #[command(flatten)]
    origin: OriginOption,
    /// The statements.
    #[arg(value_name = "FILE")]
    saved: PathBuf,
}

/// What --save keeps.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    statements: Vec<StatementAnswer>,
}

#[derive(Serialize)]
struct Report {
    origin: String,
    /// The keys that sign now.
    keys: Vec<String>,
    /// All that ever did, as far as is known: for receipts of any time.
    known: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    statements: usize,
}

impl Keys {
    pub(super) async fn run(self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let Asked { remote, trusted, parallel } = self.log.asked()?;
        let followed = follow_keys(&remote, &trusted, parallel).await?;
        let report = Report {
            size: Some(followed.head.size().get()),
            ..Report::of(&followed.chain, trusted.origin(), followed.statements.len())
        };
        if let Some(path) = &self.save {
            let saved = Saved { statements: followed.statements };
            let bytes = serde_json::to_vec_pretty(&saved).map_err(|error| Failure::Refused(error.to_string()))?;
            write_new(path, &bytes)?;
        }
        terminal.output.print(form, &report)
    }
}

impl CheckKeys {
    pub(super) fn run(&self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let bytes = read_bounded(&self.saved, bounds::KEYS_BYTES)?;
        let unusable = |error: serde_json::Error| Failure::Usage(format!("{}: {error}", self.saved.display()));
        let saved: Saved = serde_json::from_slice(&bytes).map_err(unusable)?;
        let (chain, trusted) = self.key.prove(&self.origin, |keys| follow_statements(keys, &saved.statements))?;
        terminal.output.print(form, &Report::of(&chain, trusted.origin(), saved.statements.len()))
    }
}

impl Report {
    fn of(chain: &KeyChain, origin: &Origin, statements: usize) -> Self {
        let texts = |keys: &[VerifierKey]| keys.iter().map(ToString::to_string).collect();
        let (keys, known) = (texts(chain.active()), texts(chain.known()));
        Self { origin: origin.to_string(), keys, known, size: None, statements }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.keys.iter().map(|key| shown(key)).collect();
        f.write_str(&keys.join("\n"))
    }
}
