//! The admin socket: a Unix socket in the data directory that its owner alone may open; one JSON line asks, JSON lines answer.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as Client;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cairn_listen::stopped;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader as AsyncBufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;
use tracing::{info, warn};

use super::{Operator, Reply, Request};
use crate::limits::{ADMIN_LINE_BYTES, Limits};

const FILE_NAME: &str = "admin.sock";
/// How long a caller has to ask.
const ASK_TIME: Duration = Duration::from_secs(10);
/// Longest reply that a caller takes: a list of all logs.
const REPLY_BYTES: u64 = 256 << 20;
/// Progress that waits to be written; a slow caller misses some.
const PROGRESS_QUEUE: usize = 4;
/// How long to wait when the system gives out no more sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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
    let listener = bind(&path).map_err(|error| AdminError::Io { path: path.clone(), error })?;
    let places = Arc::new(Semaphore::new(limits.admin_connections()));
    Ok(async move {
        accept(listener, operator, places, stop).await;
        if let Err(error) = fs::remove_file(&path) {
            warn!(path = %path.display(), %error, "the admin socket could not be removed");
        }
    })
}

/// Makes a socket that its owner alone may open, in the place of one that nobody listens at any more.
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket stands there"));
        }
        Ok(_) if through_folder(path, |path| Client::connect(path)).is_ok() => {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there"));
        }
        Ok(_) => fs::remove_file(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = through_folder(path, |path| UnixListener::bind(path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// A socket's address has room for 107 bytes only; the folder's descriptor makes any path short.
pub(crate) fn through_folder<T>(path: &Path, use_path: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let folder = fs::File::open(parent)?;
    use_path(&PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name))
}

async fn accept(
    listener: UnixListener,
    operator: Arc<Operator>,
    places: Arc<Semaphore>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            () = stopped(&mut stop) => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // Over the limit the connection is closed; an operator's tool says so, and its user tries again.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let operator = Arc::clone(&operator);
        tokio::spawn(async move {
            if let Err(error) = serve(stream, &operator).await {
                info!(%error, "a request on the admin socket ended badly");
            }
            drop(place);
        });
    }
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
        match through_folder(&path, |path| Client::connect(path)) {
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
