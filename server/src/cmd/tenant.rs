//! `cairnd tenant create` and `cairnd tenant list`.

use std::process::ExitCode;

use cairnd::admin::{Reply, Request};
use clap::Subcommand;

use super::folder::{Folder, unexpected};
use super::{Data, print, print_json};

#[derive(Debug, Subcommand)]
pub(super) enum TenantCommand {
    /// Give a tenant a log of its own, and tokens for it. Until then its records are in the default log, which takes none
    /// of them any more.
    Create(Create),
    /// List the tenants that have logs of their own.
    List(List),
}

#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// The tenant's name.
    name: String,
    #[command(flatten)]
    data: Data,
    /// The log's name [default: the tenant's].
    #[arg(long, value_name = "NAME")]
    log: Option<String>,
    /// Ask for a token with the right to read on every route of the log.
    #[arg(long)]
    private: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    data: Data,
    /// Print one JSON object per tenant.
    #[arg(long)]
    json: bool,
}

impl TenantCommand {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Create(Create { name, data, log, private, json }) => {
                match Folder::open(&data)?.ask(Request::TenantCreate { name, log, private }, |_| {})? {
                    Reply::TenantCreated(made) if json => print_json(&made)?,
                    Reply::TenantCreated(made) => {
                        print(&format!("origin          {}\nvkey            {}", made.log.origin, made.log.vkey))?;
                        print(&format!("producer token  {}", made.producer_token))?;
                        print(&format!("auditor token   {}", made.auditor_token))?;
                    }
                    reply => return Err(unexpected(&reply)),
                }
            }
            Self::List(List { data, json }) => match Folder::open(&data)?.ask(Request::TenantList, |_| {})? {
                Reply::Tenants(tenants) if json => tenants.iter().try_for_each(print_json)?,
                Reply::Tenants(tenants) => {
                    tenants.iter().try_for_each(|line| print(&format!("{}  log {}", line.tenant, line.log)))?;
                }
                reply => return Err(unexpected(&reply)),
            },
        }
        Ok(ExitCode::SUCCESS)
    }
}
