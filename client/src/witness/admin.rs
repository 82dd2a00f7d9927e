//! The admin socket of a running witness: a Unix socket in its folder that its owner alone may open. One JSON line asks,
//! one JSON line answers.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream as Client;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_listen::{LocalListener, connect};
use cairn_tree::checkpoint::Origin;
use cairn_tree::note::VerifierKey;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader as AsyncBufReader};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::change::Change;
use super::{LogLine, Witness, bounds, office};
use crate::fetch::LogUrl;

const FILE_NAME: &str = "admin.sock";

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Watch a log, or trust further keys for it.
    AddLog {
        /// The log.
        origin: String,
        /// Its keys.
        keys: Vec<String>,
        /// Whether these are all its keys from now on.
        replace: bool,
        /// Where it is, to ask it for proofs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<String>,
    },
    /// Watch a log no more.
    RemoveLog {
        /// The log.
        origin: String,
    },
    /// List the logs.
    ListLogs,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// The log as it is now.
    Changed(LogLine),
    /// All logs.
    Logs(Vec<LogLine>),
    /// It was not done, and why.
    Failed(String),
}

/// Why the admin socket can't be used.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The system refused.
    #[error("the admin socket {path}: {error}", path = path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The other side speaks something else.
    #[error("the witness's answer on the admin socket can't be read: {0}")]
    Reply(String),
}

impl Request {
    /// The change that is asked for; `None` if none is.
    #[must_use]
    pub fn change(self) -> Option<Result<Change, String>> {
        let origin = |origin: String| Origin::new(origin).map_err(|error| error.to_string());
        match self {
            Self::AddLog { origin: text, keys, replace, url } => {
                let keys: Result<Vec<VerifierKey>, _> = keys.iter().map(|key| key.parse()).collect();
                let change = origin(text).and_then(|origin| {
                    let keys = keys.map_err(|error: cairn_tree::note::VerifierKeyError| error.to_string())?;
                    let url = url.map(|url| LogUrl::parse(&url)).transpose().map_err(|error| error.to_string())?;
                    Ok(Change::Add { origin, keys, replace, url })
                });
                Some(change)
            }
            Self::RemoveLog { origin: text } => Some(origin(text).map(|origin| Change::Remove { origin })),
            Self::ListLogs => None,
        }
    }
}

/// Serves the socket until `stop`. The folder's lock is held, so a socket that is there is a dead witness's.
///
/// # Errors
/// [`AdminError::Io`] if the socket can't be made.
pub fn listen(
    folder: &Path,
    witness: Arc<Witness>,
    stop: watch::Receiver<bool>,
) -> Result<impl Future<Output = ()> + Send + use<>, AdminError> {
    let path = folder.join(FILE_NAME);
    let bound = LocalListener::bind(&path, bounds::ADMIN_CONNECTIONS);
    let listener = bound.map_err(|error| AdminError::Io { path, error })?;
    Ok(listener.run(stop, move |stream| {
        let witness = Arc::clone(&witness);
        async move { serve(stream, &witness).await }
    }))
}

async fn serve(mut stream: UnixStream, witness: &Witness) -> io::Result<()> {
    // Between bind and chmod somebody else may have connected.
    let (own, peer) = (rustix::process::geteuid().as_raw(), stream.peer_cred()?.uid());
    if peer != own && peer != 0 {
        return write(&mut stream, &Reply::Failed("the admin socket is for the witness's own user".into())).await;
    }
    let mut line = Vec::new();
    let mut reader = AsyncBufReader::new((&mut stream).take(bounds::ADMIN_LINE_BYTES));
    timeout(bounds::ADMIN_TIME, reader.read_until(b'\n', &mut line)).await??;
    let reply = match serde_json::from_slice(&line) {
        Ok(request) => office::answer(witness, request).await,
        Err(error) => Reply::Failed(format!("the request can't be read: {error}")),
    };
    write(&mut stream, &reply).await
}

async fn write(stream: &mut UnixStream, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    timeout(bounds::ADMIN_TIME, stream.write_all(&line)).await?
}

/// A connection to a running witness's admin socket.
pub struct Session {
    stream: Client,
    path: PathBuf,
}

impl Session {
    /// Connects to the witness that runs on this folder; `None` if none does.
    ///
    /// # Errors
    /// [`AdminError::Io`] if there is a socket that can't be used.
    pub fn open(folder: &Path) -> Result<Option<Self>, AdminError> {
        let path = folder.join(FILE_NAME);
        match connect(&path) {
            Ok(stream) => Ok(Some(Self { stream, path })),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                Ok(None)
            }
            Err(error) => Err(AdminError::Io { path, error }),
        }
    }

    /// Asks, and waits for the reply.
    ///
    /// # Errors
    /// [`AdminError`] if the witness went away or answers something else.
    pub fn ask(self, request: &Request) -> Result<Reply, AdminError> {
        let Self { stream, path } = self;
        let io_error = |error| AdminError::Io { path: path.clone(), error };
        let mut line = serde_json::to_vec(request).map_err(|error| AdminError::Reply(error.to_string()))?;
        line.push(b'\n');
        (&stream).write_all(&line).map_err(io_error)?;
        line.clear();
        let mut reader = BufReader::new((&stream).take(bounds::ADMIN_REPLY_BYTES));
        if reader.read_until(b'\n', &mut line).map_err(io_error)? == 0 {
            return Err(AdminError::Reply("the connection was closed without one; try again".into()));
        }
        serde_json::from_slice(&line).map_err(|error| AdminError::Reply(error.to_string()))
    }
}
