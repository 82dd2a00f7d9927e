//! What an operator asks about messages of DIGIT's persister: those that became no records, and the configuration.

use cairn_tree::wire::json::Bytes;
use serde::{Deserialize, Serialize};

use super::{Operator, Reply, Request};
use crate::records::capture::{Line, QuarantineId};

/// A quarantined message, with all that it says.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantinedMessage {
    /// What is said of it.
    pub line: Line,
    /// The message.
    pub body: Bytes,
}

/// Without the message, which may tell of a person.
impl core::fmt::Debug for QuarantinedMessage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("QuarantinedMessage").field("line", &self.line).finish_non_exhaustive()
    }
}

/// What became of a message that was tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetriedLine {
    /// Which one.
    pub id: QuarantineId,
    /// How many records it became; then it is in quarantine no more.
    pub records: u64,
    /// Why it is still there.
    pub problem: Option<String>,
}

/// A topic, as the persister's configuration has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicLine {
    /// The topic.
    pub topic: String,
    /// How many of its mappings are audited.
    pub audited: u64,
    /// How many are not.
    pub not_audited: u64,
}

/// The persister's configuration in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersisterLines {
    /// Its topics.
    pub topics: Vec<TopicLine>,
    /// What is suspicious about it.
    pub warnings: Vec<String>,
}

impl Operator {
    /// Does what is about the quarantine and the persister; gives the rest back.
    pub(super) async fn about_captures(&self, request: Request) -> Result<Reply, Request> {
        let captures = &self.captures;
        let reply = match request {
            Request::QuarantineList => captures.list().map(Reply::Quarantine),
            Request::QuarantineShow { id } => captures.show(id).await.map(Reply::Quarantined),
            Request::QuarantineRetry { id, token } => captures.retry(id, token).await.map(Reply::Retried),
            Request::QuarantineDrop { id } => captures.drop_one(id).await.map(|()| Reply::QuarantineDropped),
            Request::PersisterShow => captures.persister().map(Reply::Persister),
            Request::PersisterReload => captures.reload().await.map(Reply::Persister),
            request => return Err(request),
        };
        Ok(reply.unwrap_or_else(Reply::Failed))
    }
}
