//! `cairnd log create`, `cairnd log list`, `cairnd log seal` and `cairnd log policy`.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use cairn_tree::policy::Policy as PolicyFile;
use cairn_tree::size::counted;
use cairn_tree::wire::json::Bytes;
use cairnd::admin::{LogLine, PolicyLine, Reply, Request};
use cairnd::engine::policy_in_doubt;
use clap::Subcommand;

use super::folder::{Folder, unexpected};
use super::{Data, print, print_bytes, print_each, print_json};

#[derive(Debug, Subcommand)]
pub(super) enum LogCommand {
    /// Make a log with a new key.
    Create(Create),
    /// List the logs.
    List(List),
    /// End a log with a final entry, and let another log continue it.
    Seal(Seal),
    /// Say which witnesses must cosign a log's checkpoints, or show it.
    Policy(Policy),
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
    /// Sign with an ML-DSA-44 key beside the Ed25519 key from the beginning.
    #[arg(long)]
    ml_dsa: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// End a log with a final entry, and let another log continue it.
///
/// The successor is made like the log that ends, unless it is there and empty. The old log's last entry names it with its
/// keys; its own first entry holds the old log's final head. A log that is halted signs no end: its successor's first
/// entry holds the last head that it signed. The command may be given again wherever it stopped.
#[derive(Debug, clap::Args)]
pub(super) struct Seal {
    /// The name of the log that ends.
    name: String,
    /// The name of the log that continues it.
    #[arg(long, value_name = "NEW")]
    successor: String,
    #[command(flatten)]
    data: Data,
    /// Print one JSON object per log.
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

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(super) struct Policy {
    /// The log's name.
    name: String,
    #[command(flatten)]
    data: Data,
    /// A C2SP tlog-policy file; its witness lines have the URLs under which the witnesses are asked. It replaces the
    /// policy in force: checkpoints stay as they are until a larger head meets the new one.
    #[arg(long, value_name = "FILE", group = "what")]
    policy: Option<PathBuf>,
    /// Have no policy any more: the checkpoint is the newest head.
    #[arg(long, group = "what")]
    none: bool,
    /// Print the file in force.
    #[arg(long, group = "what")]
    show: bool,
    /// When witnesses are late, publish heads without their quorum (after witness_fail_open_seconds); without this, the
    /// checkpoint waits for them.
    #[arg(long, requires = "policy")]
    fail_open: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl LogCommand {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Create(create) => create.run(),
            Self::Seal(Seal { name, successor, data, json }) => list(&data, Request::LogSeal { name, successor }, json),
            Self::List(list) => list.run(),
            Self::Policy(policy) => policy.run(),
        }
    }
}

impl Create {
    fn run(self) -> anyhow::Result<ExitCode> {
        let Self { name, data, open_append, private, dedup, ml_dsa, json } = self;
        let request = Request::LogCreate { name, open_append, private, dedup, ml_dsa };
        match Folder::open(&data)?.ask(request)? {
            Reply::LogCreated(log) if json => print_json(&log)?,
            Reply::LogCreated(log) => print(&format!("origin  {}\nvkey    {}", log.origin, log.vkey))?,
            reply => return Err(unexpected(&reply)),
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    fn run(self) -> anyhow::Result<ExitCode> {
        list(&self.data, Request::LogList, self.json)
    }
}

/// Asks for something that is answered with logs.
fn list(data: &Data, request: Request, json: bool) -> anyhow::Result<ExitCode> {
    match Folder::open(data)?.ask(request)? {
        Reply::Logs(logs) => print_each(&logs, json, described)?,
        reply => return Err(unexpected(&reply)),
    }
    Ok(ExitCode::SUCCESS)
}

impl Policy {
    fn run(self) -> anyhow::Result<ExitCode> {
        let Self { name, data, policy, show, fail_open, json, .. } = self;
        let request = if show {
            Request::LogPolicyShow { name }
        } else {
            let policy = policy.as_deref().map(read_policy).transpose()?;
            Request::LogPolicy { name, policy, fail_open }
        };
        match Folder::open(&data)?.ask(request)? {
            Reply::Policy(line) if json => print_json(&line)?,
            Reply::Policy(line) if show => match line.policy {
                Some(Bytes(file)) => print_bytes(&file)?,
                None if line.lost => print(&format!(
                    "{}: say which one holds, with --policy FILE or --none. Until then it takes no appends, and publishes no \
                     new checkpoint",
                    policy_in_doubt(&format!("the witness policy of log {}", line.log))
                ))?,
                None => print(&format!("log {} has no witness policy", line.log))?,
            },
            Reply::Policy(line) => print(&told(&line))?,
            reply => return Err(unexpected(&reply)),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The file, bounded before it is read.
fn read_policy(path: &Path) -> anyhow::Result<Bytes> {
    let read = || {
        let mut text = Vec::new();
        File::open(path)?.take(PolicyFile::MAX_BYTES as u64 + 1).read_to_end(&mut text)?;
        std::io::Result::Ok(text)
    };
    read().map(Bytes).with_context(|| format!("can't read {}", path.display()))
}

fn told(line: &PolicyLine) -> String {
    match (&line.policy, line.fail_open) {
        (None, _) => format!("log {} has no witness policy now: its checkpoint is its newest head", line.log),
        (Some(_), false) => format!("log {} publishes checkpoints that meet this policy now", line.log),
        (Some(_), true) => {
            format!(
                "log {} publishes checkpoints that meet this policy now, and others when witnesses are late",
                line.log
            )
        }
    }
}

fn described(log: &LogLine) -> String {
    let marks = [(log.private, " private"), (log.open_append, " open-append"), (log.dedup, " dedup")];
    let marks: String = marks.into_iter().filter(|(has, _)| *has).map(|(_, mark)| mark).collect();
    let entries = counted(log.size, "entry", "entries");
    let successor = log.successor.as_ref().map(|log| format!(", continued by {log}")).unwrap_or_default();
    format!("{}  {entries}  {}{successor}{marks}  {}", log.name, log.state, log.vkey)
}
