//! The socket of the process that has an outbox open: a Unix socket in its folder that its owner alone may open, so that
//! other processes, in whatever language, append to it. One JSON line asks, one JSON line answers; the answer to an append
//! comes when it is durable.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream as Client;
use std::path::{Path, PathBuf};

use cairn_listen::{LocalListener, connect};
use cairn_tree::record::id::RecordId;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader as AsyncBufReader};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{AppendError, Dropped, Event, EventError, Outbox, Status, Ticket, bounds};

const FILE_NAME: &str = "outbox.sock";

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Append one record, or an array of them as a batch.
    Add {
        /// The JSON, as text: its numbers are kept as they are written.
        records: String,
    },
    /// Tell what is in the outbox.
    Status,
    /// Try again what was refused: the batch of one record, or all.
    Retry {
        /// The record.
        id: Option<String>,
    },
    /// Give up the batch of a record.
    Drop {
        /// The record.
        id: String,
        /// Why; it stands in the record of the drop.
        reason: String,
    },
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// The records are in the outbox, durably.
    Added {
        /// The number of the batch.
        batch: u64,
        /// Their ids.
        ids: Vec<String>,
    },
    /// What is in the outbox.
    Status(Status),
    /// What is tried again.
    Retried {
        /// How many batches.
        batches: usize,
    },
    /// What was given up.
    Dropped {
        /// The records.
        ids: Vec<String>,
        /// The records that tell of it, in the same order; none if these told of a drop themselves.
        records: Vec<String>,
        /// Whether the log had refused them. Otherwise they may be in it all the same.
        was_refused: bool,
    },
    /// The outbox or its disk is full: nothing was kept, and it may be later.
    Full(String),
    /// It was not done, and will not be if it is asked again.
    Failed(String),
}

/// Why the socket can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The system refused.
    #[error("the socket {path}: {error}", path = path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The other side speaks something else.
    #[error("the answer on the outbox's socket can't be read: {0}")]
    Reply(String),
}

/// Does what is asked. Waits for the disk.
#[must_use]
pub fn answer(outbox: &Outbox, request: &Request) -> Reply {
    let id = |text: &str| text.parse::<RecordId>().map_err(|error| Reply::Failed(format!("{text}: {error}")));
    let done = match request {
        Request::Add { records } => add(outbox, records.as_bytes()),
        Request::Status => Ok(Reply::Status(outbox.status())),
        Request::Retry { id: wanted } => wanted.as_deref().map(id).transpose().and_then(|id| {
            let retried = outbox.retry(id).map_err(|error| Reply::Failed(error.to_string()))?;
            Ok(Reply::Retried { batches: retried })
        }),
        Request::Drop { id: wanted, reason } => id(wanted).and_then(|id| {
            let dropped = outbox.drop(id, reason).map_err(|error| Reply::Failed(error.to_string()))?;
            let Dropped { ids, records, was_refused } = dropped;
            Ok(Reply::Dropped { ids: texts(&ids), records: texts(&records), was_refused })
        }),
    };
    done.unwrap_or_else(|refused| refused)
}

fn add(outbox: &Outbox, records: &[u8]) -> Result<Reply, Reply> {
    let failed = |error: AppendError| match error {
        AppendError::Full { .. } | AppendError::NoRoom(_) | AppendError::Busy => Reply::Full(error.to_string()),
        AppendError::Event(_) | AppendError::Failed(_) => Reply::Failed(error.to_string()),
    };
    let events = Event::parse_all(records).map_err(|fault| failed(EventError::from(fault).into()))?;
    let Ticket { number, ids } = outbox.append(&events).map_err(failed)?;
    Ok(Reply::Added { batch: number, ids: texts(&ids) })
}

fn texts(ids: &[RecordId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// Serves the socket until `stop`. The outbox's lock is held, so a socket that is there is a dead process's.
///
/// # Errors
/// [`SocketError::Io`] if the socket can't be made.
pub fn listen(
    folder: &Path,
    outbox: Outbox,
    stop: watch::Receiver<bool>,
) -> Result<impl Future<Output = ()> + Send + use<>, SocketError> {
    let path = folder.join(FILE_NAME);
    let bound = LocalListener::bind(&path, bounds::SOCKET_CONNECTIONS);
    let listener = bound.map_err(|error| SocketError::Io { path, error })?;
    Ok(listener.run(stop, move |stream| serve(stream, outbox.clone())))
}

async fn serve(mut stream: UnixStream, outbox: Outbox) -> io::Result<()> {
    // Between bind and chmod somebody else may have connected.
    let (own, peer) = (rustix::process::geteuid().as_raw(), stream.peer_cred()?.uid());
    if peer != own && peer != 0 {
        return write(&mut stream, &Reply::Failed("the socket is for the outbox's own user".into())).await;
    }
    let mut line = Vec::new();
    let mut reader = AsyncBufReader::new((&mut stream).take(bounds::SOCKET_LINE_BYTES));
    timeout(bounds::SOCKET_TIME, reader.read_until(b'\n', &mut line)).await??;
    let reply = match serde_json::from_slice::<Request>(&line) {
        Ok(request) => {
            let done = cairn_listen::spawn_blocking(move || answer(&outbox, &request)).await;
            done.map_err(io::Error::other)?
        }
        Err(error) => Reply::Failed(format!("the request can't be read: {error}")),
    };
    write(&mut stream, &reply).await
}

async fn write(stream: &mut UnixStream, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    timeout(bounds::SOCKET_TIME, stream.write_all(&line)).await?
}

/// A connection to the process that has an outbox open.
pub struct Session {
    stream: Client,
    path: PathBuf,
}

impl Session {
    /// Connects to the process that has the outbox of this folder open and serves it; `None` if none does.
    ///
    /// # Errors
    /// [`SocketError::Io`] if there is a socket that can't be used.
    pub fn open(folder: &Path) -> Result<Option<Self>, SocketError> {
        let path = folder.join(FILE_NAME);
        match connect(&path) {
            Ok(stream) => Ok(Some(Self { stream, path })),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                Ok(None)
            }
            Err(error) => Err(SocketError::Io { path, error }),
        }
    }

    /// Asks, and waits for the reply.
    ///
    /// # Errors
    /// [`SocketError`] if the process went away or answers something else. An append may then be kept or not.
    pub fn ask(self, request: &Request) -> Result<Reply, SocketError> {
        let Self { stream, path } = self;
        let io_error = |error| SocketError::Io { path: path.clone(), error };
        let mut line = serde_json::to_vec(request).map_err(|error| SocketError::Reply(error.to_string()))?;
        line.push(b'\n');
        (&stream).write_all(&line).map_err(io_error)?;
        line.clear();
        let mut reader = BufReader::new((&stream).take(bounds::SOCKET_REPLY_BYTES));
        if reader.read_until(b'\n', &mut line).map_err(io_error)? == 0 {
            return Err(SocketError::Reply("the connection was closed without one; try again".into()));
        }
        serde_json::from_slice(&line).map_err(|error| SocketError::Reply(error.to_string()))
    }
}
