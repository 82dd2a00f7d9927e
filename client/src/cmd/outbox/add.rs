//! `cairn outbox add`: a record, or a batch of them, onto the disk.

use core::fmt;
use std::path::PathBuf;

use cairn_tree::record::bounds::MAX_BODY_BYTES;
use clap::Args;
use serde::Serialize;

use super::{OutboxOptions, unexpected};
use crate::attach::DataSet;
use crate::cmd::added::with_attached;
use crate::cmd::attached::AttachOptions;
use crate::cmd::failure::Failure;
use crate::cmd::record::read;
use crate::cmd::terminal::{Form, Terminal};
use crate::outbox::{Event, SocketReply, SocketRequest};

/// Put a record into the outbox, or an array of them that are to be appended together; they are on the disk when this ends.
///
/// Records are JSON in Cairn's own form (docs/record.md shows one). A record without an id gets one, and one without a time
/// gets this one. Whoever does not see this end well may repeat it: a record with an id of its own is delivered once.
#[derive(Debug, Args)]
pub(super) struct Add {
    #[command(flatten)]
    outbox: OutboxOptions,
    #[command(flatten)]
    attach: AttachOptions,
    /// The record, or the array of records; `-` reads standard input.
    #[arg(value_name = "RECORD_FILE")]
    record: PathBuf,
}

/// The result.
#[derive(Serialize)]
struct Added {
    batch: u64,
    ids: Vec<String>,
    /// Where the listings of attached folders are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    listings: Vec<String>,
}

impl Add {
    pub(super) fn run(self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let mut body = read(&self.record, terminal.stdin, MAX_BODY_BYTES)?;
        let DataSet { attached, listings, .. } = self.attach.data_set(None, &mut terminal.output)?;
        if !attached.is_empty() {
            body = with_attached(body, &attached, self.attach.attach_class).map_err(Failure::Usage)?;
        }
        Event::parse_all(&body).map_err(|fault| Failure::Usage(fault.to_string()))?;
        let records = String::from_utf8(body).map_err(|error| Failure::Usage(error.to_string()))?;
        match self.outbox.ask(&SocketRequest::Add { records }, true)? {
            SocketReply::Added { batch, ids } => {
                let listings = listings.iter().map(|path| path.display().to_string()).collect();
                terminal.output.print(form, &Added { batch, ids, listings })
            }
            other => Err(unexpected(other)),
        }
    }
}

impl fmt::Display for Added {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in the outbox: {}", self.ids.join(" "))?;
        self.listings.iter().try_for_each(|path| write!(f, "; listing kept in {path}"))
    }
}
