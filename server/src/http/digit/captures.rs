//! What an operator does about messages that became no records: look at them, try them again, drop them; and reading the
//! persister's configuration anew. Reached through the admin socket alone.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use cairn_listen::spawn_blocking;
use cairn_tree::wire::json::Bytes;
use cairn_tree::wire::record::capture::parse_capture;

use super::super::App;
use super::recording::{Arrival, Stop, catch_up, record, take_out};
use crate::admin::{PersisterLines, QuarantinedMessage, RetriedLine, TopicLine};
use crate::auth::{Caller, Right, Tenants, TokenId};
use crate::records::capture::{Line, Listed, Note, Persister, QuarantineId};

/// How often it is looked whether the log was not told of something.
const CATCH_UP: Duration = Duration::from_secs(60);

/// The server that captures, once there is one.
#[derive(Default)]
pub struct Captures {
    app: OnceLock<Weak<App>>,
    /// The messages that an operator is trying again or dropping: one thing at a time is done to each.
    busy: Mutex<BTreeSet<QuarantineId>>,
}

/// That something is being done to a message.
struct Claim<'c> {
    captures: &'c Captures,
    id: QuarantineId,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.captures.busy().remove(&self.id);
    }
}

impl Captures {
    /// Works on the quarantine of this server from now on.
    pub fn attach(&self, app: &Arc<App>) {
        // Whoever comes second attaches the same.
        let _ = self.app.set(Arc::downgrade(app));
    }

    /// Tells the log, now and from time to time, what it was not told of the quarantine when that happened. Never ends.
    pub async fn catch_up(&self) {
        loop {
            if let Ok(app) = self.app() {
                catch_up(&app).await;
            }
            tokio::time::sleep(CATCH_UP).await;
        }
    }

    fn app(&self) -> Result<Arc<App>, String> {
        let app = self.app.get().and_then(Weak::upgrade);
        app.ok_or_else(|| "this is done by the server; start it with: cairnd serve".to_owned())
    }

    fn busy(&self) -> MutexGuard<'_, BTreeSet<QuarantineId>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn claim(&self, id: QuarantineId) -> Result<Claim<'_>, String> {
        let is_free = self.busy().insert(id);
        // A claim that is made is given up when it goes out of scope, so that none is made of another's.
        if is_free { Ok(Claim { captures: self, id }) } else { Err(busy(id)) }
    }

    /// The messages in quarantine, the oldest first.
    ///
    /// # Errors
    /// There is no server.
    pub fn list(&self) -> Result<Vec<Listed>, String> {
        Ok(self.app()?.records.capture.quarantine().list())
    }

    /// A message with all that it says.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub async fn show(&self, id: QuarantineId) -> Result<QuarantinedMessage, String> {
        let (line, body) = self.read(id).await?;
        Ok(QuarantinedMessage { line, body: Bytes(body) })
    }

    async fn read(&self, id: QuarantineId) -> Result<(Line, Vec<u8>), String> {
        let app = self.app()?;
        let read = spawn_blocking(move || app.records.capture.quarantine().read(id)).await;
        read.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    /// Tries a message again, with the rights that the token that brought it has now, or those of another one.
    ///
    /// # Errors
    /// What is wrong, in words; the message is still there.
    pub async fn retry(&self, id: QuarantineId, token: Option<TokenId>) -> Result<RetriedLine, String> {
        let app = self.app()?;
        let _claim = self.claim(id)?;
        let (line, body) = self.read(id).await?;
        let Ok(input) = parse_capture(&body) else {
            return Ok(RetriedLine { id, records: 0, problem: Some(line.why().to_string()) });
        };
        let caller = match token {
            Some(token) => standing(&app, token)?,
            None => standing(&app, line.token).map_err(|why| {
                format!(
                    "{why}; it brought the message: name another one whose rights it is to be tried with, as --token"
                )
            })?,
        };
        let arrival = Arrival::kept(&line, input.topic.as_str(), input.value, &body, caller);
        match record(&app, &arrival).await {
            Ok(recorded) => Ok(RetriedLine { id, records: recorded.rows.len() as u64, problem: None }),
            Err(Stop::Problem(problem)) => Err(problem.cause().unwrap_or(problem.detail()).to_owned()),
            Err(Stop::Unmapped(why)) => {
                let problem = Some(why.to_string());
                let keep = spawn_blocking(move || app.records.capture.quarantine().keep_again(id, &why)).await;
                keep.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
                Ok(RetriedLine { id, records: 0, problem })
            }
        }
    }

    /// Drops a message, and puts that on record.
    ///
    /// # Errors
    /// What is wrong, in words; the message is still there.
    pub async fn drop_one(&self, id: QuarantineId) -> Result<(), String> {
        let app = self.app()?;
        let _claim = self.claim(id)?;
        if !app.records.capture.quarantine().has(id) {
            return Err(format!("there is no quarantined message {id}; see: cairnd quarantine list"));
        }
        let dropped = take_out(&app, id, Note::Dropped).await;
        dropped.map_err(|problem| problem.cause().unwrap_or(problem.detail()).to_owned())
    }

    /// The persister's configuration in force.
    ///
    /// # Errors
    /// There is no server.
    pub fn persister(&self) -> Result<PersisterLines, String> {
        Ok(lines(self.app()?.records.capture.persister().as_deref()))
    }

    /// Reads the persister's configuration anew.
    ///
    /// # Errors
    /// What is wrong with it; then the one before stays in force.
    pub async fn reload(&self) -> Result<PersisterLines, String> {
        let app = self.app()?;
        let reloaded = spawn_blocking(move || app.records.capture.reload()).await.map_err(|error| error.to_string())?;
        Ok(lines(reloaded.map_err(|error| error.to_string())?.as_deref()))
    }
}

fn busy(id: QuarantineId) -> String {
    format!("the message {id} is being tried again or dropped at this moment")
}

/// Who a token stands for, if it may append.
fn standing(app: &App, token: TokenId) -> Result<(TokenId, Tenants), String> {
    match app.tokens.of_id(token) {
        Caller::Known { id, rights, tenants, .. } if rights.contains(Right::Append) => Ok((id, tenants)),
        Caller::Known { .. } => Err(format!("the token {token} has no right to append")),
        _ => Err(format!("no token {token} is in force; see: cairnd token list")),
    }
}

fn lines(persister: Option<&Persister>) -> PersisterLines {
    let topic = |(topic, audited, not_audited): (&str, usize, usize)| TopicLine {
        topic: topic.to_owned(),
        audited: audited as u64,
        not_audited: not_audited as u64,
    };
    PersisterLines {
        topics: persister.iter().flat_map(|persister| persister.topics()).map(topic).collect(),
        warnings: persister.iter().flat_map(|persister| persister.warnings()).map(ToString::to_string).collect(),
    }
}
