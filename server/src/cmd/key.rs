//! `cairnd key rotate` and `cairnd key list`.

use std::process::ExitCode;

use cairnd::admin::{KeysLine, Reply, Request};
use cairnd::signer::KeyType;
use clap::Subcommand;

use super::folder::{Folder, unexpected};
use super::{Data, print, print_json};

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Give a log a new key, or retire its oldest one.
    Rotate(Rotate),
    /// List a log's keys.
    List(List),
}

/// Give a log a new key, or retire its oldest one.
///
/// From the entry on that says so, the log's heads are signed by the new key and the others beside it. Once everybody
/// trusts the new key (`cairn keys` leads from the old one to it), the old one is retired with --retire: then its file is
/// not read any more. An ML-DSA-44 key always signs beside an Ed25519 key.
#[derive(Debug, clap::Args)]
pub(super) struct Rotate {
    /// The log's name.
    name: String,
    #[command(flatten)]
    data: Data,
    /// What kind of key: ed25519 or ml-dsa-44.
    #[arg(long = "type", value_name = "TYPE", default_value = "ed25519")]
    kind: KeyType,
    /// Retire the oldest key of this type instead; a newer one must be there.
    #[arg(long)]
    retire: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// The log's name.
    name: String,
    #[command(flatten)]
    data: Data,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl KeyCommand {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let (data, json, request) = match self {
            Self::Rotate(Rotate { name, data, kind, retire: false, json }) => {
                (data, json, Request::KeyRotate { name, kind })
            }
            Self::Rotate(Rotate { name, data, kind, retire: true, json }) => {
                (data, json, Request::KeyRetire { name, kind })
            }
            Self::List(List { name, data, json }) => (data, json, Request::KeyList { name }),
        };
        match Folder::open(&data)?.ask(request)? {
            Reply::Keys(keys) if json => print_json(&keys)?,
            Reply::Keys(KeysLine { keys, .. }) => keys
                .iter()
                .try_for_each(|key| print(&format!("{:7}  from size {}  {}", key.status, key.first_size, key.vkey)))?,
            reply => return Err(unexpected(&reply)),
        }
        Ok(ExitCode::SUCCESS)
    }
}
