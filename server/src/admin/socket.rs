//! The admin socket: a Unix socket in the data directory that its owner alone may open; one JSON line asks, JSON lines answer.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream as Client;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cairn_listen::{LocalListener, connect};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader as AsyncBufReader};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::{Operator, Reply, Request};
use crate::limits::{ADMIN_LINE_BYTES, Limits};

const FILE_NAME: &str = "admin.sock";
/// How long a caller has to ask.
const ASK_TIME: Duration = Duration::from_secs(10);
/// Longest reply that a caller takes: a list of all logs.
const REPLY_BYTES: u64 = 256 << 20;
/// Progress that waits to be written; a slow caller misses some.
const PROGRESS_QUEUE: usize = 4;

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
    #[error("the server's answer on the admin socket can't be read: {0}")]
    Reply(String),
}

/// Serves the socket until `stop`. The database's lock is held, so a socket that is there is a dead server's.
///
/// # Errors
/// [`AdminError::Io`] if the socket can't be made.
pub fn listen(
    data: &Path,
    operator: Arc<Operator>,
    limits: &Limits,
    stop: watch::Receiver<bool>,
) -> Result<impl Future<Output = ()> + Send + use<>, AdminError> {
    let path = data.join(FILE_NAME);
    let bound = LocalListener::bind(&path, limits.admin_connections());
    let listener = bound.map_err(|error| AdminError::Io { path, error })?;
    Ok(listener.run(stop, move |stream| {
        let operator = Arc::clone(&operator);
        async move { serve(stream, &operator).await }
    }))
}

async fn serve(mut stream: UnixStream, operator: &Operator) -> io::Result<()> {
    // Between bind and chmod somebody else may have connected.
    let (own, peer) = (rustix::process::geteuid().as_raw(), stream.peer_cred()?.uid());
    if peer != own && peer != 0 {
        return write(&mut stream, &Reply::Failed("the admin socket is for the server's own user".into())).await;
    }
    let mut line = Vec::new();
    let mut reader = AsyncBufReader::new((&mut stream).take(ADMIN_LINE_BYTES as u64));
    timeout(ASK_TIME, reader.read_until(b'\n', &mut line)).await??;
    let request: Request = match serde_json::from_slice(&line) {
        Ok(request) => request,
        Err(error) => return write(&mut stream, &Reply::Failed(format!("the request can't be read: {error}"))).await,
    };
    let (sender, mut steps) = mpsc::channel(PROGRESS_QUEUE);
    let progress = move |step| drop(sender.try_send(step));
    let mut work = std::pin::pin!(operator.run(request, progress));
    loop {
        tokio::select! {
            reply = work.as_mut() => return write(&mut stream, &reply).await,
            Some(step) = steps.recv() => write(&mut stream, &Reply::Progress(step)).await?,
        }
    }
}

async fn write(stream: &mut UnixStream, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    timeout(ASK_TIME, stream.write_all(&line)).await?
}

/// A connection to a running server's admin socket.
pub struct Session {
    stream: Client,
    path: PathBuf,
}

impl Session {
    /// Connects to the server that has this data directory open; `None` if none has.
    ///
    /// # Errors
    /// [`AdminError::Io`] if there is a socket that can't be used.
    pub fn open(data: &Path) -> Result<Option<Self>, AdminError> {
        let path = data.join(FILE_NAME);
        match connect(&path) {
            Ok(stream) => Ok(Some(Self { stream, path })),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                Ok(None)
            }
            Err(error) => Err(AdminError::Io { path, error }),
        }
    }

    /// Asks, and waits for the last reply; `progress` sees the others.
    ///
    /// # Errors
    /// [`AdminError`] if the server went away or answers something else.
    pub fn ask(self, request: &Request, mut progress: impl FnMut(&super::Progress)) -> Result<Reply, AdminError> {
        let Self { stream, path } = self;
        let io_error = |error| AdminError::Io { path: path.clone(), error };
        let mut line = serde_json::to_vec(request).map_err(|error| AdminError::Reply(error.to_string()))?;
        line.push(b'\n');
        (&stream).write_all(&line).map_err(io_error)?;
        let mut reader = BufReader::new((&stream).take(REPLY_BYTES));
        loop {
            line.clear();
            if reader.read_until(b'\n', &mut line).map_err(io_error)? == 0 {
                return Err(AdminError::Reply("the connection was closed without one; try again".into()));
            }
            match serde_json::from_slice(&line).map_err(|error| AdminError::Reply(error.to_string()))? {
                Reply::Progress(step) => progress(&step),
                reply => return Ok(reply),
            }
        }
    }
}
