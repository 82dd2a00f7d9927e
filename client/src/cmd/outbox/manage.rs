//! `cairn outbox status`, `retry` and `drop`.

use core::fmt;

use clap::Args;
use serde::Serialize;

use super::{OutboxOptions, unexpected};
use crate::cmd::failure::Failure;
use crate::cmd::terminal::{Form, Terminal};
use crate::outbox::{Listed, SocketReply, SocketRequest};

/// Show what waits in the outbox, and what the log refused, with its answers.
#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    outbox: OutboxOptions,
}

/// Try again what the log refused for good.
#[derive(Debug, Args)]
pub(super) struct Retry {
    #[command(flatten)]
    outbox: OutboxOptions,
    /// All of it.
    #[arg(long, conflicts_with = "id", required_unless_present = "id")]
    all: bool,
    /// The batch of this record.
    #[arg(value_name = "ID")]
    id: Option<String>,
}

/// Give up a record, and the others of its batch. A record that says so is delivered in the same stream.
///
/// A record that was sent and not answered may be in the log all the same.
#[derive(Debug, Args)]
pub(super) struct Drop {
    #[command(flatten)]
    outbox: OutboxOptions,
    /// Why; it stands in the record of the drop.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The record.
    #[arg(value_name = "ID")]
    id: String,
}

#[derive(Serialize)]
struct Retried {
    batches: usize,
}

#[derive(Serialize)]
struct Dropped {
    ids: Vec<String>,
    records: Vec<String>,
    was_refused: bool,
}

impl Status {
    pub(super) fn run(self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        match self.outbox.ask(&SocketRequest::Status, false)? {
            SocketReply::Status(status) => terminal.output.print(form, &status),
            other => Err(unexpected(other)),
        }
    }
}

impl Retry {
    pub(super) fn run(self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        match self.outbox.ask(&SocketRequest::Retry { id: self.id }, false)? {
            SocketReply::Retried { batches } => terminal.output.print(form, &Retried { batches }),
            other => Err(unexpected(other)),
        }
    }
}

impl Drop {
    pub(super) fn run(self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        match self.outbox.ask(&SocketRequest::Drop { id: self.id, reason: self.reason }, false)? {
            SocketReply::Dropped { ids, records, was_refused } => {
                terminal.output.print(form, &Dropped { ids, records, was_refused })
            }
            other => Err(unexpected(other)),
        }
    }
}

impl fmt::Display for Retried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.batches {
            1 => f.write_str("1 batch is tried again"),
            count => write!(f, "{count} batches are tried again"),
        }
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dropped: {}", Listed(&self.ids))?;
        if !self.was_refused {
            f.write_str("; the log had not refused it, and may have it if it was sent before")?;
        }
        match self.records.as_slice() {
            [] => f.write_str("; it told of a drop itself, so that only the outbox knows of this"),
            records => write!(f, "; the record that tells of it: {}", Listed(records)),
        }
    }
}
