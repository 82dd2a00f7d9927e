//! `cairnd fsck`: everything is read and hashed again, in the server that has the database open or here.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use cairn_tree::size::{TreeSize, counted};
use cairnd::admin::{FindingLine, Progress, Reply, Request, Session};
use cairnd::engine;

use super::folder::{Folder, unexpected};
use super::{Data, FAILED, print, print_json};

/// What a check beside a server can't do.
const NOT_COMPARED: &str = "A server has this database open: hash indexes and postings were read, and not compared with the \
    entries. To do that too, stop it and check again.";

#[derive(Debug, clap::Args)]
pub(super) struct Fsck {
    #[command(flatten)]
    data: Data,
    /// Print one JSON object per log.
    #[arg(long)]
    json: bool,
}

impl Fsck {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let folder = Folder::open(&self.data)?;
        let findings = match Session::open(&folder.path)? {
            Some(session) => match session.ask(&Request::Fsck, show)? {
                Reply::Findings(findings) => {
                    // Not worth an error if nobody reads it; what was found is.
                    let _ = writeln!(io::stderr(), "{NOT_COMPARED}");
                    findings
                }
                reply => return Err(unexpected(&reply)),
            },
            None => offline(&folder)?,
        };
        let mut sound = true;
        for finding in &findings {
            sound &= finding.problem.is_none();
            if self.json {
                print_json(finding)?;
            } else {
                print(&described(finding))?;
            }
        }
        Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }
}

/// Nothing is opened for writing, so that a damaged database is left as it is.
fn offline(folder: &Folder) -> anyhow::Result<Vec<FindingLine>> {
    let mut progress = |log: &str, done: TreeSize, size: TreeSize| {
        show(&Progress { log: log.to_owned(), done: done.get(), size: size.get() });
    };
    let findings = engine::fsck(&folder.engine_options(), &mut progress)?;
    Ok(findings.into_iter().map(FindingLine::from).collect())
}

pub(super) fn show(step: &Progress) {
    let mut out = io::stderr();
    if out.is_terminal() {
        let percent = step.done.saturating_mul(100).checked_div(step.size).unwrap_or(100);
        // Progress that can't be shown is not worth an error.
        let _ = write!(out, "\r{}: {} of {} entries ({percent} %) ", step.log, step.done, step.size);
        let _ = if step.done == step.size { writeln!(out) } else { out.flush() };
    }
}

fn described(finding: &FindingLine) -> String {
    let FindingLine { log, size, problem, places } = finding;
    match problem {
        None => format!("{log}: sound, {}", counted(*size, "entry", "entries")),
        // One place is told by the problem.
        Some(problem) if places.len() < 2 => format!("{log}: NOT SOUND: {problem}"),
        Some(problem) => {
            let places: String = places.iter().map(|place| format!("\n  {place}")).collect();
            format!("{log}: NOT SOUND: {problem}; all that was found:{places}")
        }
    }
}
