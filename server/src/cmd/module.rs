//! `cairnd module set` and `cairnd module list`.

use std::process::ExitCode;

use cairnd::admin::{ModuleLine, Reply, Request};
use clap::{Subcommand, ValueEnum};

use super::folder::{Folder, unexpected};
use super::{Data, print_each};

#[derive(Debug, Subcommand)]
pub(super) enum ModuleCommand {
    /// Decide what a module asks of its records; what is not named stays as it is. The change is put on record.
    Set(Set),
    /// List the modules for which something is decided.
    List(List),
}

#[derive(Debug, clap::Args)]
#[group(id = "decided", required = true, multiple = true, args = ["strict", "old_must_match"])]
pub(super) struct Set {
    /// The module's name.
    module: String,
    #[command(flatten)]
    data: Data,
    /// Whose module it is.
    #[arg(long, value_name = "NAME")]
    tenant: String,
    /// Refuse a create of an object that lives, and an update or delete of one that does not.
    #[arg(long, value_name = "SWITCH")]
    strict: Option<Switch>,
    /// Refuse a record whose old values are not those of its object's state.
    #[arg(long, value_name = "SWITCH")]
    old_must_match: Option<Switch>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    data: Data,
    /// Print one JSON object per module.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

impl ModuleCommand {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let (folder, request, json) = match self {
            Self::Set(Set { module, data, tenant, strict, old_must_match, json }) => {
                let [strict, old_must_match] =
                    [strict, old_must_match].map(|switch| switch.map(|switch| switch == Switch::On));
                (Folder::open(&data)?, Request::ModuleSet { tenant, module, strict, old_must_match }, json)
            }
            Self::List(List { data, json }) => (Folder::open(&data)?, Request::ModuleList, json),
        };
        match folder.ask(request)? {
            Reply::Modules(modules) => print_each(&modules, json, text)?,
            reply => return Err(unexpected(&reply)),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn text(line: &ModuleLine) -> String {
    let switch = |on| if on { "on" } else { "off" };
    let ModuleLine { tenant, module, strict, old_must_match } = line;
    format!("{tenant}  {module}  strict {}  old-must-match {}", switch(*strict), switch(*old_must_match))
}
