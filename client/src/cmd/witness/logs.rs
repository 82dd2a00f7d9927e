//! `cairn witness add-log`, `remove-log` and `list-logs`: in the witness that runs on the folder, else in the folder itself.

use std::path::Path;

use cairn_tree::checkpoint::Origin;
use cairn_tree::note::VerifierKey;
use clap::Args;

use super::DirOption;
use super::folder::Folder;
use crate::cmd::failure::Failure;
use crate::cmd::terminal::{Form, Terminal};
use crate::fetch::LogUrl;
use crate::witness::{LogLine, Reply, Request, Session, change_offline, list_offline};

/// Watch a log, or trust further keys for one that is watched.
///
/// It takes effect at once, also while the witness runs. What was cosigned for the log is never forgotten, whether it is
/// removed, added again, or gets other keys.
#[derive(Debug, Args)]
pub(super) struct AddLog {
    #[command(flatten)]
    dir: DirOption,
    /// The log's verification key; may be given several times.
    #[arg(long = "vkey", value_name = "VKEY", required = true, num_args = 1..)]
    keys: Vec<String>,
    /// The log's origin; one of the keys must be named like it [default: the name of its first key].
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    /// Where the log is. With it, heads of other sizes that peers show are compared with ours: the proofs come from there.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Trust these keys only, and none that were given before.
    #[arg(long)]
    replace: bool,
}

/// Watch a log no more. What was cosigned for it is kept.
#[derive(Debug, Args)]
pub(super) struct RemoveLog {
    #[command(flatten)]
    dir: DirOption,
    /// The log's origin.
    #[arg(long, value_name = "ORIGIN")]
    origin: String,
}

/// List the logs, with what was cosigned last.
#[derive(Debug, Args)]
pub(super) struct ListLogs {
    #[command(flatten)]
    dir: DirOption,
}

impl AddLog {
    pub(super) fn run(self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let keys: Vec<VerifierKey> = self
            .keys
            .iter()
            .map(|key| key.parse().map_err(|error| Failure::Usage(format!("--vkey {key}: {error}"))))
            .collect::<Result<_, _>>()?;
        let origin = match (self.origin, keys.first()) {
            (Some(origin), _) => origin,
            (None, Some(key)) => key.name().to_string(),
            (None, None) => return Err(Failure::Usage("--vkey: give at least one".to_owned())),
        };
        Origin::new(origin.clone()).map_err(|error| Failure::Usage(format!("--origin: {error}")))?;
        if let Some(url) = &self.url {
            LogUrl::parse(url).map_err(|error| Failure::Usage(format!("--url {url}: {error}")))?;
        }
        let request = Request::AddLog { origin, keys: self.keys, replace: self.replace, url: self.url };
        changed(ask(&self.dir.folder, request)?, form, terminal)
    }
}

impl RemoveLog {
    pub(super) fn run(self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        changed(ask(&self.dir.folder, Request::RemoveLog { origin: self.origin })?, form, terminal)
    }
}

impl ListLogs {
    pub(super) fn run(self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        match ask(&self.dir.folder, Request::ListLogs)? {
            Reply::Logs(logs) => logs.iter().try_for_each(|log| terminal.output.print(form, log)),
            other => Err(unexpected(other)),
        }
    }
}

fn changed(reply: Reply, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    match reply {
        Reply::Changed(log) => terminal.output.print::<LogLine>(form, &log),
        other => Err(unexpected(other)),
    }
}

fn unexpected(reply: Reply) -> Failure {
    match reply {
        Reply::Failed(reason) => Failure::Usage(reason),
        _ => Failure::Refused("the witness answers something else; is it of another version?".to_owned()),
    }
}

/// Asks the witness that runs on the folder; if none does, does it here.
fn ask(folder: &Path, request: Request) -> Result<Reply, Failure> {
    let refused = |error: &dyn core::fmt::Display| Failure::Refused(error.to_string());
    if let Some(session) = Session::open(folder).map_err(|error| refused(&error))? {
        return session.ask(&request).map_err(|error| refused(&error));
    }
    let Folder { store, hold, .. } = Folder::open(folder)?;
    let reply = match request.change() {
        None => {
            let logs = list_offline(&store);
            store.close().map_err(|error| refused(&error))?;
            Reply::Logs(logs)
        }
        Some(Err(error)) => Reply::Failed(error),
        Some(Ok(change)) => {
            let changed = change_offline(store, change).map_err(|error| refused(&error))?;
            changed.map_or_else(|error| Reply::Failed(error.to_string()), Reply::Changed)
        }
    };
    drop(hold);
    Ok(reply)
}
