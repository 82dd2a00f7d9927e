//! `cairnd tenant create`, `cairnd tenant set` and `cairnd tenant list`.

use std::process::ExitCode;

use cairnd::admin::{Reply, Request, TenantLine};
use cairnd::records::ReadAudit;
use clap::Subcommand;

use super::folder::{Folder, unexpected};
use super::{Data, print, print_each, print_json};

#[derive(Debug, Subcommand)]
pub(super) enum TenantCommand {
    /// Give a tenant a log of its own, and tokens for it. Until then its records are in the default log, which takes none
    /// of them any more.
    Create(Create),
    /// Decide something for a tenant. The change is put on record.
    Set(Set),
    /// List the tenants that have logs of their own, or for which something is decided.
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
    /// Let the streams that the default log has of the tenant go on in its own; given again, finish that.
    #[arg(long = "continue")]
    continues: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Set {
    /// The tenant's name.
    name: String,
    #[command(flatten)]
    data: Data,
    /// Whether reads of its records are put on record: off; metadata: who asked what kind of question, when, and how much
    /// he got; full: also what he asked for.
    #[arg(long, value_name = "off|metadata|full")]
    reads: ReadAudit,
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
            Self::Create(Create { name, data, log, private, continues, json }) => {
                match Folder::open(&data)?.ask(Request::TenantCreate { name, log, private, continues })? {
                    Reply::TenantCreated(made) if json => print_json(&made)?,
                    Reply::TenantCreated(made) => {
                        print(&format!("origin          {}\nvkey            {}", made.log.origin, made.log.vkey))?;
                        if continues {
                            print(&format!("linked streams  {}", made.linked))?;
                        }
                        print(&format!("producer token  {}", made.producer_token))?;
                        print(&format!("auditor token   {}", made.auditor_token))?;
                    }
                    reply => return Err(unexpected(&reply)),
                }
            }
            Self::Set(Set { name, data, reads, json }) => {
                list(&Folder::open(&data)?, Request::TenantSet { name, reads }, json)?;
            }
            Self::List(List { data, json }) => list(&Folder::open(&data)?, Request::TenantList, json)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn list(folder: &Folder, request: Request, json: bool) -> anyhow::Result<()> {
    let text = |TenantLine { tenant, log, own, moving_to, reads }: &TenantLine| {
        let whose = match moving_to {
            Some(to) => format!(" (on the way to {to})"),
            None if *own => String::new(),
            None => " (shared)".to_owned(),
        };
        format!("{tenant}  log {log}{whose}  reads {}", reads.name())
    };
    match folder.ask(request)? {
        Reply::Tenants(tenants) => print_each(&tenants, json, text),
        reply => Err(unexpected(&reply)),
    }
}
