//! What ends the server: a signal, of which the second one ends it at once, or a poisoned database.

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::warn;

use super::FAILED;

/// The signals that ask for an end.
pub(super) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// Listens from now on.
    pub(super) fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals can't be listened to");
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Waits for a signal (then true; the next one ends the process at once), or until the database is poisoned.
    pub(super) async fn first_or(mut self, poisoned: &mut watch::Receiver<bool>) -> bool {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = poisoned.wait_for(|poisoned| *poisoned) => return false,
        }
        let mut poisoned = poisoned.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
                Ok(_) = poisoned.wait_for(|poisoned| *poisoned) => {}
            }
            warn!("ending at once");
            std::process::exit(i32::from(FAILED));
        });
        true
    }
}
