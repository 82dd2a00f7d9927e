//! `cairnd token create`, `list` and `revoke`.

use std::process::ExitCode;

use cairnd::admin::{Reply, Request};
use cairnd::auth::{Rights, Selector, TokenId};
use clap::Subcommand;

use super::folder::{Folder, unexpected};
use super::{Data, print, print_json};

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
    /// What it allows: append, read, admin, with commas between them.
    #[arg(long, default_value = "append,read")]
    rights: Rights,
    /// On which logs: a name, the beginning of names with * after it, or *.
    #[arg(long, default_value = "*")]
    logs: Selector,
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
            Self::Create(Create { data, rights, logs, name, json }) => {
                let request = Request::TokenCreate { name, rights, logs };
                match Folder::open(&data)?.ask(request, |_| {})? {
                    Reply::TokenCreated(made) if json => print_json(&made)?,
                    Reply::TokenCreated(made) => print(&made.token)?,
                    reply => return Err(unexpected(&reply)),
                }
            }
            Self::List(List { data, json }) => match Folder::open(&data)?.ask(Request::TokenList, |_| {})? {
                Reply::Tokens(tokens) if json => tokens.iter().try_for_each(print_json)?,
                Reply::Tokens(tokens) => tokens.iter().try_for_each(|token| {
                    print(&format!("{}  {}  logs {}  {}", token.id, token.rights, token.logs, token.name))
                })?,
                reply => return Err(unexpected(&reply)),
            },
            Self::Revoke(Revoke { id, data }) => {
                match Folder::open(&data)?.ask(Request::TokenRevoke { id }, |_| {})? {
                    Reply::TokenRevoked => {}
                    reply => return Err(unexpected(&reply)),
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
