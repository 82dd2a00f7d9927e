//! `cairnd quarantine list|show|retry|drop` and `cairnd persister show|reload`.

use std::process::ExitCode;

use anyhow::bail;
use cairnd::admin::{PersisterLines, Reply, Request, RetriedLine};
use cairnd::auth::TokenId;
use cairnd::records::capture::{Listed, QuarantineId};
use clap::Subcommand;

use super::folder::{Folder, unexpected};
use super::{Data, FAILED, print, print_bytes, print_each, print_json};

#[derive(Debug, Subcommand)]
pub(super) enum QuarantineCommand {
    /// List the messages that became no records, the oldest first.
    List(List),
    /// Print a message, with all that it says.
    Show(Show),
    /// Try a message again, or all; one that becomes records leaves the quarantine.
    Retry(Retry),
    /// Remove a message for good; that it was dropped is put on record.
    Drop(Drop),
}

#[derive(Debug, Subcommand)]
pub(super) enum PersisterCommand {
    /// List the topics of the configuration in force, and what is suspicious about it.
    Show(List),
    /// Read the configuration anew; one with a mistake changes nothing.
    Reload(List),
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    data: Data,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Show {
    /// The message's id.
    id: QuarantineId,
    #[command(flatten)]
    data: Data,
    /// Print one JSON object that also says why it is here; the message is in base64.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Retry {
    /// The message's id.
    #[arg(required_unless_present = "all")]
    id: Option<QuarantineId>,
    /// Try every message.
    #[arg(long, conflicts_with = "id")]
    all: bool,
    #[command(flatten)]
    data: Data,
    /// Act as this token, and not as the one that brought the message.
    #[arg(long, value_name = "ID")]
    token: Option<TokenId>,
    /// Print one JSON object per message.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Drop {
    /// The message's id.
    id: QuarantineId,
    #[command(flatten)]
    data: Data,
}

impl QuarantineCommand {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(List { data, json }) => print_each(&list(&Folder::open(&data)?)?, json, told)?,
            Self::Show(Show { id, data, json }) => match ask(&Folder::open(&data)?, Request::QuarantineShow { id })? {
                Reply::Quarantined(message) if json => print_json(&message)?,
                Reply::Quarantined(message) => {
                    print_bytes(&message.body.0)?;
                    print("")?;
                }
                reply => return Err(unexpected(&reply)),
            },
            Self::Retry(retry) => return retry.run(),
            Self::Drop(Drop { id, data }) => match ask(&Folder::open(&data)?, Request::QuarantineDrop { id })? {
                Reply::QuarantineDropped => {}
                reply => return Err(unexpected(&reply)),
            },
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl PersisterCommand {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let (List { data, json }, request) = match self {
            Self::Show(list) => (list, Request::PersisterShow),
            Self::Reload(list) => (list, Request::PersisterReload),
        };
        let PersisterLines { topics, warnings } = match ask(&Folder::open(&data)?, request)? {
            Reply::Persister(lines) if json => {
                print_json(&lines)?;
                return Ok(ExitCode::SUCCESS);
            }
            Reply::Persister(lines) => lines,
            reply => return Err(unexpected(&reply)),
        };
        let mapped = |line: &cairnd::admin::TopicLine| {
            print(&format!("{}  audited {}  not audited {}", line.topic, line.audited, line.not_audited))
        };
        topics.iter().try_for_each(mapped)?;
        warnings.iter().try_for_each(|warning| print(&format!("warning: {warning}")))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Retry {
    fn run(self) -> anyhow::Result<ExitCode> {
        let folder = Folder::open(&self.data)?;
        let ids = match self.id {
            Some(id) => vec![id],
            None => list(&folder)?.into_iter().map(|listed| listed.id).collect(),
        };
        let mut left = 0;
        for id in ids {
            let line = match ask(&folder, Request::QuarantineRetry { id, token: self.token })? {
                Reply::Retried(line) => line,
                // The others have their turn even so.
                Reply::Failed(problem) if self.all => RetriedLine { id, records: 0, problem: Some(problem) },
                reply => return Err(unexpected(&reply)),
            };
            left += usize::from(line.problem.is_some());
            if self.json {
                print_json(&line)?;
            } else {
                let became = format!("{} records", line.records);
                print(&format!("{id}  {}", line.problem.unwrap_or(became)))?;
            }
        }
        Ok(if left == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }
}

fn list(folder: &Folder) -> anyhow::Result<Vec<Listed>> {
    match ask(folder, Request::QuarantineList)? {
        Reply::Quarantine(listed) => Ok(listed),
        reply => Err(unexpected(&reply)),
    }
}

/// These are asked of a server alone: it has the quarantine.
fn ask(folder: &Folder, request: Request) -> anyhow::Result<Reply> {
    if !folder.is_served()? {
        bail!("no server has this database open, and the quarantine is the server's: start it with: cairnd serve");
    }
    folder.ask(request)
}

fn told(listed: &Listed) -> String {
    let Listed { id, line, bytes } = listed;
    match line {
        None => format!("{id}  damaged  {bytes} bytes"),
        Some(line) => {
            let topic = line.topic.as_deref().unwrap_or("-");
            let place = if line.place.is_empty() { String::new() } else { format!("  ({})", line.place) };
            format!("{id}  {}  topic {topic:?}  {}  {bytes} bytes{place}", line.received_ms, line.reason)
        }
    }
}
