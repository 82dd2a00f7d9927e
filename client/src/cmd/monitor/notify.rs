//! Telling people: a command that gets JSON on its standard input, and a URL that JSON is posted to.
//!
//! Both are bounded in time, and one note is delivered at a time; the queue is bounded too. A note that could not be
//! delivered is said and counted, and never holds up the watching.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::config::Notify;
use super::figures::Figures;
use crate::bounds;

/// The end of the queue that notes are put into.
pub(super) struct Notifier {
    queue: Option<mpsc::Sender<Vec<u8>>>,
    work: JoinHandle<()>,
    figures: Arc<Figures>,
}

/// Why a note was not delivered.
#[derive(Debug, thiserror::Error)]
enum NotifyError {
    #[error("the command could not be run: {0}")]
    Command(#[from] std::io::Error),
    #[error("the command ended with {0}")]
    Ended(std::process::ExitStatus),
    #[error("the command took longer than {} s", bounds::NOTIFY_TIME.as_secs())]
    TooLong,
    #[error("the URL could not be reached: {0}")]
    Post(#[from] reqwest::Error),
}

impl Notifier {
    /// Begins to deliver; `say` is told what could not be.
    pub(super) fn start(notify: Notify, figures: Arc<Figures>, say: mpsc::Sender<String>) -> Self {
        let (queue, mut notes) = mpsc::channel::<Vec<u8>>(bounds::UNNOTIFIED);
        let counted = Arc::clone(&figures);
        let work = tokio::spawn(async move {
            let client = reqwest::Client::builder()
                .timeout(bounds::NOTIFY_TIME)
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap_or_default();
            while let Some(note) = notes.recv().await {
                for error in deliver(&notify, &client, &note).await {
                    counted.undelivered();
                    // Nobody listens only if the monitor ends.
                    let _ = say.send(format!("an alarm could not be told: {error}")).await;
                }
            }
        });
        Self { queue: Some(queue), work, figures }
    }

    /// Puts a note into the queue.
    pub(super) fn tell(&self, note: Vec<u8>) {
        let taken = self.queue.as_ref().is_some_and(|queue| queue.try_send(note).is_ok());
        if !taken {
            self.figures.undelivered();
        }
    }

    /// Delivers what is in the queue, within a bounded time.
    pub(super) async fn finish(mut self) {
        self.queue = None;
        let _ = timeout(bounds::LAST_NOTES_TIME, &mut self.work).await;
        self.work.abort();
    }
}

async fn deliver(notify: &Notify, client: &reqwest::Client, note: &[u8]) -> Vec<NotifyError> {
    let mut errors = Vec::new();
    if let [program, arguments @ ..] = &notify.command[..] {
        let ran = timeout(bounds::NOTIFY_TIME, run(program, arguments, note)).await;
        errors.extend(ran.unwrap_or(Err(NotifyError::TooLong)).err());
    }
    if let Some(url) = &notify.url {
        errors.extend(post(client, url, note).await.err());
    }
    errors
}

async fn run(program: &str, arguments: &[String], note: &[u8]) -> Result<(), NotifyError> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        // Results are the monitor's own.
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that does not read is free not to.
        let _ = stdin.write_all(note).await;
    }
    let status = child.wait().await?;
    if status.success() { Ok(()) } else { Err(NotifyError::Ended(status)) }
}

async fn post(client: &reqwest::Client, url: &str, note: &[u8]) -> Result<(), NotifyError> {
    let mut backoff = Duration::from_secs(1);
    for _ in 1..bounds::NOTIFY_ATTEMPTS {
        match post_once(client, url, note).await {
            Ok(()) => return Ok(()),
            Err(_) => tokio::time::sleep(backoff).await,
        }
        backoff *= 2;
    }
    Ok(post_once(client, url, note).await?)
}

async fn post_once(client: &reqwest::Client, url: &str, note: &[u8]) -> reqwest::Result<()> {
    let request = client.post(url).header("content-type", "application/json").body(note.to_vec());
    request.send().await?.error_for_status().map(drop)
}
