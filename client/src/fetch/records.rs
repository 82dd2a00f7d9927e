//! Audit records over HTTP: `/v1`, which stands at the server's root, beside its logs.

use bytes::Bytes;
use cairn_tree::record::id::RecordId;
use cairn_tree::wire::append::Wait;
use cairn_tree::wire::v1::{AppendedAnswer, MAX_ANSWER_BYTES, RecordAnswer};
use cairn_tree::wire::{media, query};

use super::answers::IdempotencyKey;
use super::error::FetchError;
use super::http::{Freshness, Request, Settings, Upload};
use super::remote::Remote;
use super::url::LogUrl;

/// A server's records, asked over HTTP.
pub struct Records(Remote);

/// The answer to records that were taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenRecords {
    /// The answer itself, unverified.
    pub answer: AppendedAnswer,
    /// The witnesses were late: the checkpoint is one that only the log has signed.
    pub is_late: bool,
}

impl Records {
    /// Sets the client up for the server that has this log; nothing is asked yet.
    ///
    /// # Errors
    /// [`FetchError::SetUp`].
    pub fn new(url: &LogUrl, settings: Settings) -> Result<Self, FetchError> {
        Remote::new(url.server(), settings).map(Self)
    }

    /// Appends records in the native form, and asks for the receipts.
    ///
    /// # Errors
    /// [`FetchError`]. An error never means that nothing was appended; a retry under the same key is exact.
    pub async fn append(&self, body: Bytes, key: &IdempotencyKey, wait: Wait) -> Result<TakenRecords, FetchError> {
        let request = Request {
            path: "v1/records".to_owned(),
            query: vec![(query::RECEIPTS, "1".to_owned()), (query::WAIT, wait.as_str().to_owned())],
            accept: media::JSON,
            bound: MAX_ANSWER_BYTES,
            freshness: Freshness::AnyCache,
            upload: Some(Upload { content_type: media::JSON, body, idempotency_key: key.to_string() }),
        };
        let answer = self.0.ask(request).await?;
        let records = AppendedAnswer::parse(&answer.body).map_err(|fault| answer.malformed(fault))?;
        Ok(TakenRecords { answer: records, is_late: answer.status == 202 })
    }

    /// Asks for a record with its proof: the body as it came, and what it says, unverified.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn record(&self, id: RecordId) -> Result<(Vec<u8>, RecordAnswer), FetchError> {
        let request = Request {
            path: format!("v1/records/{id}"),
            query: vec![("proof", "1".to_owned())],
            accept: media::JSON,
            bound: MAX_ANSWER_BYTES,
            // Nothing on the way may keep it.
            freshness: Freshness::AnyCache,
            upload: None,
        };
        let answer = self.0.ask(request).await?;
        let record = RecordAnswer::parse(&answer.body).map_err(|fault| answer.malformed(fault))?;
        Ok((answer.body, record))
    }
}
