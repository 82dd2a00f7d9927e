//! Sockets on this machine that their owner alone may open: an administrator's or a signer's.
//!
//! Connections are bounded like those over the network. What is said on one, and which user may, is the caller's.

use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as Client;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tracing::{debug, info, warn};

use crate::connections::stopped;
use crate::listener::ACCEPT_PAUSE;

/// A Unix socket in a folder, of mode 0600.
#[derive(Debug)]
pub struct LocalListener {
    socket: UnixListener,
    path: PathBuf,
    places: Arc<Semaphore>,
}

impl LocalListener {
    /// Makes the socket, in the place of one that nobody listens at any more; so many connections are served at a time.
    ///
    /// # Errors
    /// What the system says; that another process listens there, or that a file stands there that is no socket.
    pub fn bind(path: &Path, connections: usize) -> io::Result<Self> {
        match fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket stands there"));
            }
            Ok(_) if connect(path).is_ok() => {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there"));
            }
            Ok(_) => fs::remove_file(path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let socket = through_folder(path, |path| UnixListener::bind(path))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { socket, path: path.to_owned(), places: Arc::new(Semaphore::new(connections)) })
    }

    /// Accepts until `stop`, then removes the socket. Between bind and chmod somebody else may have connected: `serve`
    /// looks at the peer's user.
    pub async fn run<S>(self, mut stop: watch::Receiver<bool>, serve: impl Fn(UnixStream) -> S)
    where
        S: Future<Output = io::Result<()>> + Send + 'static,
    {
        loop {
            let accepted = tokio::select! {
                () = stopped(&mut stop) => break,
                accepted = self.socket.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            // Over the limit the connection is closed; the other side says so, and tries again.
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { continue };
            let served = serve(stream);
            tokio::spawn(async move {
                match served.await {
                    // Whoever asked did not wait for the answer: nothing is wrong here.
                    Err(error) if has_left(&error) => debug!(%error, "a caller on a local socket did not wait"),
                    Err(error) => info!(%error, "a connection on a local socket ended badly"),
                    Ok(()) => {}
                }
                drop(place);
            });
        }
        if let Err(error) = fs::remove_file(&self.path) {
            warn!(path = %self.path.display(), %error, "the socket could not be removed");
        }
    }
}

/// Whether the other side has gone away.
fn has_left(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
    matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected)
}

/// Connects to a socket, however long its path is.
///
/// # Errors
/// What the system says: `NotFound` or `ConnectionRefused` if nobody listens there.
pub fn connect(path: &Path) -> io::Result<Client> {
    through_folder(path, |path| Client::connect(path))
}

/// A socket's address has room for 107 bytes only; the folder's descriptor makes any path short.
fn through_folder<T>(path: &Path, use_path: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let folder = fs::File::open(parent)?;
    use_path(&PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_does_not_wait_for_an_answer_is_told_from_what_is_wrong() {
        use tokio::io::AsyncWriteExt as _;
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let error = ours.write_all(b"an answer").await.unwrap_err();
        assert!(has_left(&error), "{error:?}");
        for kind in [io::ErrorKind::TimedOut, io::ErrorKind::InvalidData, io::ErrorKind::PermissionDenied] {
            assert!(!has_left(&kind.into()));
        }
    }

    #[tokio::test]
    async fn only_a_socket_that_nobody_listens_at_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "precious").unwrap();
        assert_eq!(LocalListener::bind(&file, 1).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&file).unwrap(), b"precious");
        let path = folder.path().join("socket");
        let first = LocalListener::bind(&path, 1).unwrap();
        assert_eq!(LocalListener::bind(&path, 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        connect(&path).unwrap();
        drop(first);
        // As a process leaves it that was killed.
        assert!(path.exists() && connect(&path).is_err());
        LocalListener::bind(&path, 1).unwrap();
    }
}
