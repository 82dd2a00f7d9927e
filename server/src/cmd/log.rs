//! `cairnd log create` and `cairnd log list`.

use std::process::ExitCode;

use cairnd::admin::{LogLine, Reply, Request};
use clap::Subcommand;

use super::folder::{Folder, unexpected};
use super::{Data, print, print_json};

#[derive(Debug, Subcommand)]
pub(super) enum LogCommand {
    /// Make a log with a new key.
    Create(Create),
    /// List the logs.
    List(List),
}

#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// The log's name: a-z, 0-9, dot, dash and underscore, at most 63.
    name: String,
    #[command(flatten)]
    data: Data,
    /// Take appends without a token; for tests, on loopback.
    #[arg(long)]
    open_append: bool,
    /// Ask for a token with the right to read on every route.
    #[arg(long)]
    private: bool,
    /// Give an entry that is there already the index that it has.
    #[arg(long)]
    dedup: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    data: Data,
    /// Print one JSON object per log.
    #[arg(long)]
    json: bool,
}

impl LogCommand {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Create(create) => create.run(),
            Self::List(list) => list.run(),
        }
    }
}

impl Create {
    fn run(self) -> anyhow::Result<ExitCode> {
        let Self { name, data, open_append, private, dedup, json } = self;
        let request = Request::LogCreate { name, open_append, private, dedup };
        match Folder::open(&data)?.ask(request, |_| {})? {
            Reply::LogCreated(log) if json => print_json(&log)?,
            Reply::LogCreated(log) => print(&format!("origin  {}\nvkey    {}", log.origin, log.vkey))?,
            reply => return Err(unexpected(&reply)),
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    fn run(self) -> anyhow::Result<ExitCode> {
        match Folder::open(&self.data)?.ask(Request::LogList, |_| {})? {
            Reply::Logs(logs) if self.json => logs.iter().try_for_each(print_json)?,
            Reply::Logs(logs) => logs.iter().try_for_each(|log| print(&described(log)))?,
            reply => return Err(unexpected(&reply)),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn described(log: &LogLine) -> String {
    let marks = [(log.private, " private"), (log.open_append, " open-append"), (log.dedup, " dedup")];
    let marks: String = marks.into_iter().filter(|(has, _)| *has).map(|(_, mark)| mark).collect();
    format!("{}  {} entries  {}{marks}  {}", log.name, log.size, log.state, log.vkey)
}
