//! Telling people: a command that gets JSON on its standard input, and a URL that JSON is posted to.
//!
//! Each of the two has a queue and a pace of its own, so that neither waits for the other, and the watching waits for
//! none. Queues are bounded, and so is how long a note takes and how much is read of what comes back. A note that could not
//! be delivered is said and counted.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::config::Notify;
use super::figures::Figures;
use crate::bounds;
use crate::fetch::shown;

/// The queues that notes are put into.
pub(super) struct Notifier {
    channels: Vec<Channel>,
    figures: Arc<Figures>,
}

/// One way to tell people.
struct Channel {
    queue: mpsc::Sender<Arc<[u8]>>,
    work: JoinHandle<()>,
}

/// Who is told.
enum Receiver {
    Command { program: String, arguments: Vec<String> },
    Url { url: String, client: reqwest::Client },
}

/// Why a note was not delivered.
#[derive(Debug, thiserror::Error)]
enum NotifyError {
    #[error("the command could not be run: {0}")]
    Command(#[from] std::io::Error),
    #[error("the command ended with {0}{1}")]
    Ended(ExitStatus, Words),
    #[error("the command took longer than {} s", .0.as_secs_f64())]
    TooLong(Duration),
    #[error("the URL could not be reached: {0}")]
    Post(#[from] reqwest::Error),
    #[error("the URL answered {0}")]
    Status(reqwest::StatusCode),
}

/// What a command said, fit to be shown.
#[derive(Debug)]
struct Words(String);

impl core::fmt::Display for Words {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " ({})", self.0) }
    }
}

impl Notifier {
    /// Begins to deliver; `say` is told what could not be.
    ///
    /// # Errors
    /// If there can be no client for the URL.
    pub(super) fn start(
        notify: &Notify,
        figures: Arc<Figures>,
        say: &mpsc::Sender<String>,
    ) -> Result<Self, reqwest::Error> {
        let patience = notify.timeout.map_or(bounds::NOTIFY_TIME, |span| span.0);
        let mut receivers = Vec::new();
        if let [program, arguments @ ..] = &notify.command[..] {
            receivers.push(Receiver::Command { program: program.clone(), arguments: arguments.to_vec() });
        }
        if let Some(url) = &notify.url {
            let client = client(url).timeout(patience).redirect(reqwest::redirect::Policy::none()).build()?;
            receivers.push(Receiver::Url { url: url.clone(), client });
        }
        let start = |receiver| Channel::start(receiver, patience, Arc::clone(&figures), say.clone());
        Ok(Self { channels: receivers.into_iter().map(start).collect(), figures })
    }

    /// Puts a note into the queues.
    pub(super) fn tell(&self, note: Vec<u8>) {
        let note: Arc<[u8]> = note.into();
        for channel in &self.channels {
            if channel.queue.try_send(Arc::clone(&note)).is_err() {
                self.figures.undelivered();
            }
        }
    }

    /// Delivers what is in the queues, within a bounded time.
    pub(super) async fn finish(self) {
        let deadline = Instant::now() + bounds::LAST_NOTES_TIME;
        // All of them get to know first that nothing more will come.
        let work: Vec<_> = self.channels.into_iter().map(|channel| channel.work).collect();
        for mut work in work {
            if timeout_at(deadline, &mut work).await.is_err() {
                work.abort();
            }
        }
    }
}

impl Channel {
    fn start(receiver: Receiver, patience: Duration, figures: Arc<Figures>, say: mpsc::Sender<String>) -> Self {
        let (queue, mut notes) = mpsc::channel::<Arc<[u8]>>(bounds::UNNOTIFIED);
        let work = tokio::spawn(async move {
            while let Some(note) = notes.recv().await {
                if let Err(error) = receiver.deliver(&note, patience).await {
                    figures.undelivered();
                    // Nobody listens only if the monitor ends.
                    let _ = say.send(format!("an alarm could not be told: {error}")).await;
                }
            }
        });
        Self { queue, work }
    }
}

impl Receiver {
    async fn deliver(&self, note: &[u8], patience: Duration) -> Result<(), NotifyError> {
        match self {
            Self::Command { program, arguments } => run(program, arguments, note, patience).await,
            Self::Url { url, client } => post(client, url, note).await,
        }
    }
}

/// Over plain HTTP whoever is told is told directly, for a proxy would read along.
fn client(url: &str) -> reqwest::ClientBuilder {
    let is_tls = reqwest::Url::parse(url).is_ok_and(|url| url.scheme() == "https");
    if is_tls { reqwest::Client::builder() } else { reqwest::Client::builder().no_proxy() }
}

async fn run(program: &str, arguments: &[String], note: &[u8], patience: Duration) -> Result<(), NotifyError> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        // Results are the monitor's own.
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // With whatever it starts, so that all of it can be ended.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let ended = timeout(patience, to_its_end(&mut child, note)).await;
    // What it left behind is ended too. If nothing is left, there is no such group.
    let _ = group.map(|group| kill_process_group(group, Signal::KILL));
    let (status, words) = ended.map_err(|_| NotifyError::TooLong(patience))??;
    if status.success() { Ok(()) } else { Err(NotifyError::Ended(status, words)) }
}

/// How a command ended, and the beginning of what it said.
async fn to_its_end(child: &mut Child, note: &[u8]) -> std::io::Result<(ExitStatus, Words)> {
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A command that does not read is free not to.
            let _ = stdin.write_all(note).await;
        }
    };
    let mut said = Vec::new();
    let read = async {
        let Some(mut stderr) = stderr else { return };
        let mut part = [0; 4096];
        // To the end, whatever it says, for a full pipe would hold it up; but little of it is of interest.
        while let Ok(length @ 1..) = stderr.read(&mut part).await {
            let room = bounds::PROBLEM_BYTES.saturating_sub(said.len());
            said.extend(part.iter().take(length.min(room)));
        }
    };
    let talk = futures_util::future::join(write, read);
    let status = {
        tokio::pin!(talk);
        tokio::select! {
            status = child.wait() => {
                // Its last words are on their way; but what it started may hold them open for longer than it lives.
                let _ = timeout(bounds::LAST_WORDS_TIME, &mut talk).await;
                status?
            }
            _ = &mut talk => child.wait().await?,
        }
    };
    Ok((status, Words(shown(String::from_utf8_lossy(&said).trim()))))
}

async fn post(client: &reqwest::Client, url: &str, note: &[u8]) -> Result<(), NotifyError> {
    let mut backoff = bounds::FIRST_NOTIFY_BACKOFF;
    for _ in 1..bounds::NOTIFY_ATTEMPTS {
        if post_once(client, url, note).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(backoff).await;
        backoff *= 2;
    }
    post_once(client, url, note).await
}

/// One attempt. The status counts; the answer's body is not read.
async fn post_once(client: &reqwest::Client, url: &str, note: &[u8]) -> Result<(), NotifyError> {
    let request = client.post(url).header("content-type", "application/json").body(note.to_vec());
    let status = request.send().await?.status();
    // A redirection is not followed, and so has delivered nothing.
    if status.is_success() { Ok(()) } else { Err(NotifyError::Status(status)) }
}
