//! `cairn outbox`: puts records on this machine's disk, delivers them, and shows what waits.
//!
//! One process has an outbox open. The other commands ask that one, over the socket in the folder; where there is none,
//! they open the outbox themselves.

mod add;
mod deliver;
mod key;
mod manage;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cairn_tree::checkpoint::Origin;
use clap::{Args, Subcommand, ValueEnum};

use super::failure::Failure;
use super::terminal::{Form, Terminal};
use crate::files::FileError;
use crate::outbox::{
    self as library, AfterRefusal, Limits, Options, Session, Signing, SocketReply, SocketRequest, StoreError, bounds,
};

/// How long a command waits for another one that has the outbox open and does not serve it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it looks.
const LOOKS: Duration = Duration::from_millis(20);

/// Keep records in an outbox on this machine's disk, and deliver them once, in order, whatever fails in between.
#[derive(Debug, Args)]
pub(super) struct Outbox {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Add(add::Add),
    Deliver(deliver::Deliver),
    Status(manage::Status),
    Retry(manage::Retry),
    Drop(manage::Drop),
    Key(key::Key),
}

/// Where the outbox is, and how it is used by the process that opens it.
#[derive(Debug, Args)]
struct OutboxOptions {
    /// The outbox's folder.
    #[arg(long = "dir", value_name = "DIR", env = "CAIRN_OUTBOX")]
    folder: PathBuf,
    /// How many records may wait; when there are so many, `add` fails.
    #[arg(long, value_name = "N", default_value_t = bounds::RECORDS)]
    max_records: usize,
    /// How many bytes of records may wait.
    #[arg(long, value_name = "N", default_value_t = bounds::BYTES)]
    max_bytes: u64,
    /// What becomes of a stream of which the log refused a record for good: it waits for `retry` or `drop`, or goes on.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = OnRefusal::Hold)]
    on_refusal: OnRefusal,
    /// A file with the producer's key (`cairn outbox key` makes one): records are sealed and signed when they are added.
    #[arg(long, value_name = "FILE", requires = "log_origin")]
    sign_with: Option<PathBuf>,
    /// The origin of the log that signed records are meant for: the name of its key.
    #[arg(long, value_name = "ORIGIN", requires = "sign_with")]
    log_origin: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnRefusal {
    Hold,
    GoOn,
}

impl Outbox {
    pub(super) async fn run(self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        match self.command {
            Command::Add(command) => command.run(form, terminal),
            Command::Deliver(command) => command.run(form, terminal).await,
            Command::Status(command) => command.run(form, terminal),
            Command::Retry(command) => command.run(form, terminal),
            Command::Drop(command) => command.run(form, terminal),
            Command::Key(command) => command.run(form, terminal),
        }
    }
}

impl OutboxOptions {
    fn options(&self, make: bool) -> Result<Options, Failure> {
        let signing = match (&self.sign_with, &self.log_origin) {
            (Some(path), Some(origin)) => {
                let wrong = |error: &dyn core::fmt::Display| Failure::Usage(format!("--log-origin: {error}"));
                let log = Origin::new(origin.clone()).map_err(|error| wrong(&error))?;
                Some(Signing { signer: key::read(path)?, log })
            }
            _ => None,
        };
        Ok(Options {
            limits: Limits { records: self.max_records, bytes: self.max_bytes },
            after_refusal: match self.on_refusal {
                OnRefusal::Hold => AfterRefusal::Hold,
                OnRefusal::GoOn => AfterRefusal::GoOn,
            },
            signing,
            make,
            ..Options::default()
        })
    }

    fn open(&self, make: bool) -> Result<library::Outbox, StoreOrFailure> {
        let options = self.options(make).map_err(StoreOrFailure::Failure)?;
        library::Outbox::open(&self.folder, options).map_err(StoreOrFailure::Store)
    }

    /// The same, but waits for a command that has it open for a moment; one that serves it is not waited for.
    async fn open_soon(&self, make: bool) -> Result<library::Outbox, Failure> {
        let begun = Instant::now();
        let mut is_told = false;
        loop {
            match self.open(make) {
                Ok(outbox) => return Ok(outbox),
                Err(StoreOrFailure::Store(StoreError::File(FileError::Held { .. })))
                    if begun.elapsed() < PATIENCE && !matches!(Session::open(&self.folder), Ok(Some(_))) =>
                {
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::warn!("another command has the outbox open, and is waited for");
                    }
                    tokio::time::sleep(LOOKS).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Asks the process that has the outbox open; if there is none, does it here.
    fn ask(&self, request: &SocketRequest, make: bool) -> Result<SocketReply, Failure> {
        let begun = Instant::now();
        loop {
            let session = Session::open(&self.folder).map_err(|error| Failure::Refused(error.to_string()))?;
            if let Some(session) = session {
                return session.ask(request).map_err(|error| Failure::Refused(error.to_string()));
            }
            match self.open(make) {
                Ok(outbox) => return Ok(library::answer(&outbox, request)),
                // Another command is at it, or one that will serve is just starting.
                Err(StoreOrFailure::Store(StoreError::File(FileError::Held { .. }))) if begun.elapsed() < PATIENCE => {
                    std::thread::sleep(LOOKS);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Why an outbox was not opened.
enum StoreOrFailure {
    Store(StoreError),
    Failure(Failure),
}

impl From<StoreOrFailure> for Failure {
    fn from(error: StoreOrFailure) -> Self {
        match error {
            StoreOrFailure::Failure(failure) => failure,
            StoreOrFailure::Store(error @ StoreError::Damaged { .. }) => Self::Damaged(error.to_string()),
            StoreOrFailure::Store(error @ (StoreError::Absent(_) | StoreError::NotOne(_))) => {
                Self::Usage(error.to_string())
            }
            StoreOrFailure::Store(error) => Self::Refused(error.to_string()),
        }
    }
}

fn unexpected(reply: SocketReply) -> Failure {
    match reply {
        SocketReply::Full(reason) | SocketReply::Failed(reason) => Failure::Refused(reason),
        _ => Failure::Refused("the outbox's process answers something else; is it of another version?".to_owned()),
    }
}

/// A folder's path for people.
fn shown(folder: &Path) -> String {
    folder.display().to_string()
}
