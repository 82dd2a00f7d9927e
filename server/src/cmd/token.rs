//! `cairnd token create`, `list` and `revoke`.

use std::process::ExitCode;

use cairnd::admin::{Reply, Request, TokenLine};
use cairnd::auth::{ProducerKeyText, Rights, Selector, Tenants, TokenId, TokenTerms};
use clap::Subcommand;

use super::folder::{Folder, unexpected};
use super::{Data, print, print_each, print_json};

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token and show it once.
    Create(Create),
    /// List the tokens, without their secrets.
    List(List),
    /// Put a token out of force.
    Revoke(Revoke),
}

#[derive(Debug, clap::Args)]
pub(super) struct Create {
    #[command(flatten)]
    data: Data,
    /// What it allows: append, read, disclose:CLASS, admin, with commas between them. To read a record is to see who did
    /// what to which object; its values are shown to those who may disclose their class: public, internal, restricted or
    /// secret, each of which covers those before it.
    #[arg(long, default_value = "append,read")]
    rights: Rights,
    /// On which logs, as such: their raw entries, and what of a private one is read beside its records. A name, the beginning
    /// of names with * after it, or *; "" for none [default: * for a token for all tenants or for none, else none].
    #[arg(long)]
    logs: Option<Selector>,
    /// On the records of which tenants: names, or beginnings of names with * after them, with commas between; "" for none
    /// [default: * for a token for all logs, else none].
    #[arg(long)]
    tenants: Option<Tenants>,
    /// A public key that its producer signs events with: base64url of Ed25519's 32 bytes. May be given several times.
    #[arg(long = "producer-key", value_name = "KEY", allow_hyphen_values = true)]
    producer_keys: Vec<ProducerKeyText>,
    /// What you call it.
    #[arg(long, default_value = "")]
    name: String,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    data: Data,
    /// Print one JSON object per token.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Revoke {
    /// The token's id, as list shows it.
    id: TokenId,
    #[command(flatten)]
    data: Data,
}

impl TokenCommand {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Create(Create { data, rights, logs, tenants, producer_keys, name, json }) => {
                let (logs, tenants) = together(logs, tenants);
                let request = Request::TokenCreate(TokenTerms { name, rights, logs, tenants, producer_keys });
                match Folder::open(&data)?.ask(request)? {
                    Reply::TokenCreated(made) if json => print_json(&made)?,
                    Reply::TokenCreated(made) => print(&made.token)?,
                    reply => return Err(unexpected(&reply)),
                }
            }
            Self::List(List { data, json }) => match Folder::open(&data)?.ask(Request::TokenList)? {
                Reply::Tokens(tokens) => print_each(&tokens, json, described)?,
                reply => return Err(unexpected(&reply)),
            },
            Self::Revoke(Revoke { id, data }) => match Folder::open(&data)?.ask(Request::TokenRevoke { id })? {
                Reply::TokenRevoked => {}
                reply => return Err(unexpected(&reply)),
            },
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What is meant where one of the two is not said: a token for some logs is not for all tenants, nor is one for some tenants
/// for all logs, in which are others' records.
fn together(logs: Option<Selector>, tenants: Option<Tenants>) -> (Selector, Tenants) {
    match (logs, tenants) {
        (Some(logs), Some(tenants)) => (logs, tenants),
        (Some(logs), None) if logs.is_all() => (logs, Tenants::all()),
        (Some(logs), None) => (logs, Tenants::default()),
        (None, Some(tenants)) if !tenants.is_all() && !tenants.is_none() => (Selector::none(), tenants),
        (None, tenants) => (Selector::all(), tenants.unwrap_or_else(Tenants::all)),
    }
}

fn described(token: &TokenLine) -> String {
    let TokenLine { id, name, rights, logs, tenants, .. } = token;
    let tenants = if tenants.is_none() { String::new() } else { format!("  tenants {tenants}") };
    let logs = if logs.is_none() { "no logs".to_owned() } else { format!("logs {logs}") };
    format!("{id}  {rights}  {logs}{tenants}  {name}")
}
