//! Audit records over HTTP: `/v1`, which stands at the server's root, beside its logs.

use core::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use cairn_tree::checkpoint::Origin;
use cairn_tree::record::id::RecordId;
use cairn_tree::record::json::Fault;
use cairn_tree::record::stream::StreamName;
use cairn_tree::wire::append::Wait;
use cairn_tree::wire::v1::{AppendedAnswer, DifferencesAnswer, MAX_ANSWER_BYTES, Page, RecordAnswer, StatesAnswer};
use cairn_tree::wire::{media, query};

use super::answers::IdempotencyKey;
use super::error::FetchError;
use super::http::{Answer, Freshness, Request, Settings, Upload};
use super::remote::Remote;
use super::said::Said;
use super::url::LogUrl;

/// A server's records, asked over HTTP.
pub struct Records {
    remote: Remote,
    /// The log that is asked for what it has of them; `None` is the one that has them now.
    log: Option<Origin>,
}

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
        Ok(Self { remote: Remote::new(url.server(), settings)?, log: None })
    }

    /// The same, saying this with each request.
    #[must_use]
    pub fn saying(self, said: Said) -> Self {
        Self { remote: self.remote.saying(said), ..self }
    }

    /// The same, reading what one log has of streams, and finding records there: one that they were in before, perhaps.
    #[must_use]
    pub fn of_log(self, log: Origin) -> Self {
        Self { log: Some(log), ..self }
    }

    /// Appends records in the native form, and asks for the receipts.
    ///
    /// # Errors
    /// [`FetchError`]. An error never means that nothing was appended; a retry under the same key is exact.
    pub async fn append(&self, body: Bytes, key: &IdempotencyKey, wait: Wait) -> Result<TakenRecords, FetchError> {
        taken(&self.remote.ask(append_request(body, key, wait)).await?)
    }

    /// The same with one attempt, for whoever has an own way of trying again: the error comes with the wait that the server
    /// asked for.
    ///
    /// # Errors
    /// As above.
    pub async fn append_once(
        &self,
        body: Bytes,
        key: &IdempotencyKey,
        wait: Wait,
    ) -> Result<TakenRecords, (FetchError, Option<Duration>)> {
        let answer = self.remote.ask_telling(append_request(body, key, wait)).await?;
        taken(&answer).map_err(|error| (error, None))
    }

    /// Asks for a record with its proof: the body as it came, and what it says, unverified.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn record(&self, id: RecordId) -> Result<(Vec<u8>, RecordAnswer), FetchError> {
        self.read(format!("v1/records/{id}"), vec![proofs()], RecordAnswer::parse).await
    }

    /// Asks for a page of the records that match, newest first, with their proofs.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn search(&self, mut query: Query) -> Result<Page, FetchError> {
        query.push(proofs());
        self.read_there("v1/records".to_owned(), query, Page::parse).await
    }

    /// Asks for at most so many records of a stream from a number on, with their proofs.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn history(&self, stream: &StreamName<'_>, from: u64, most: usize) -> Result<Page, FetchError> {
        let query = vec![("from_seq", from.to_string()), ("limit", most.to_string()), proofs()];
        self.read_there(stream_path(stream, ""), query, Page::parse).await
    }

    /// Asks what the server says that the states of a stream's objects were.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn states(&self, stream: &StreamName<'_>, query: Query) -> Result<StatesAnswer, FetchError> {
        self.read_there(stream_path(stream, "/state"), query, StatesAnswer::parse).await
    }

    /// Asks what the server says that changed between two points of a stream.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn differences(&self, stream: &StreamName<'_>, query: Query) -> Result<DifferencesAnswer, FetchError> {
        self.read_there(stream_path(stream, "/diff"), query, DifferencesAnswer::parse).await
    }

    /// Asks for something of the log that is meant.
    async fn read_there<T>(
        &self,
        path: String,
        mut query: Query,
        parse: impl FnOnce(&[u8]) -> Result<T, Fault>,
    ) -> Result<T, FetchError> {
        query.extend(self.log.as_ref().map(|log| ("log", log.to_string())));
        Ok(self.read(path, query, parse).await?.1)
    }

    /// Asks for something, past caches or not: nothing on the way may keep it.
    async fn read<T>(
        &self,
        path: String,
        query: Query,
        parse: impl FnOnce(&[u8]) -> Result<T, Fault>,
    ) -> Result<(Vec<u8>, T), FetchError> {
        let (accept, bound, freshness) = (media::JSON, MAX_ANSWER_BYTES, Freshness::AnyCache);
        let answer = self.remote.ask(Request { path, query, accept, bound, freshness, upload: None }).await?;
        let parsed = parse(&answer.body).map_err(|fault| answer.malformed(fault))?;
        Ok((answer.body, parsed))
    }
}

/// The names and values of a query.
pub type Query = Vec<(&'static str, String)>;

fn proofs() -> (&'static str, String) {
    ("proof", "1".to_owned())
}

/// The path of a stream, each part of its name percent-encoded.
fn stream_path(stream: &StreamName<'_>, beneath: &str) -> String {
    let (kind, parts) = match stream {
        StreamName::Entity { tenant, module, entity, object } => ("entity", vec![tenant, module, entity, object]),
        StreamName::Named { tenant, name } => ("named", vec![tenant, name]),
    };
    let mut path = format!("v1/streams/{kind}");
    for part in parts {
        path.push('/');
        for byte in part.as_str().bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => path.push(char::from(byte)),
                // Writing to a string does not fail.
                _ => _ = write!(path, "%{byte:02X}"),
            }
        }
    }
    path.push_str(beneath);
    path
}

/// Whether a stream can be asked for over HTTP: as a part of a path, `.` and `..` mean other things, however they are
/// written.
#[must_use]
pub fn can_be_asked(stream: &StreamName<'_>) -> bool {
    let parts = match stream {
        StreamName::Entity { tenant, module, entity, object } => vec![tenant, module, entity, object],
        StreamName::Named { tenant, name } => vec![tenant, name],
    };
    parts.into_iter().all(|part| !matches!(part.as_str(), "." | ".."))
}

fn append_request(body: Bytes, key: &IdempotencyKey, wait: Wait) -> Request {
    Request {
        path: "v1/records".to_owned(),
        query: vec![(query::RECEIPTS, "1".to_owned()), (query::WAIT, wait.as_str().to_owned())],
        accept: media::JSON,
        bound: MAX_ANSWER_BYTES,
        freshness: Freshness::AnyCache,
        upload: Some(Upload { content_type: media::JSON, body, idempotency_key: key.to_string() }),
    }
}

fn taken(answer: &Answer) -> Result<TakenRecords, FetchError> {
    let records = AppendedAnswer::parse(&answer.body).map_err(|fault| answer.malformed(fault))?;
    Ok(TakenRecords { answer: records, is_late: answer.status == 202 })
}

#[cfg(test)]
mod tests {
    use cairn_tree::record::text::Name;

    use super::*;

    #[test]
    fn each_part_of_a_streams_name_stays_one_part_of_the_path() {
        let stream = |text: &'static str| StreamName::Named {
            tenant: Name::new("pb").unwrap_or_else(|error| panic!("{error}")),
            name: Name::new(text).unwrap_or_else(|error| panic!("{error}")),
        };
        let base = LogUrl::parse("http://h/logs/main").unwrap().server();
        for (name, path) in [
            ("permits", "/v1/streams/named/pb/permits/state"),
            ("a/b?c#d%2e", "/v1/streams/named/pb/a%2Fb%3Fc%23d%252e/state"),
            ("Köln 1.5", "/v1/streams/named/pb/K%C3%B6ln%201%2E5/state"),
            ("a..b", "/v1/streams/named/pb/a%2E%2Eb/state"),
        ] {
            assert_eq!(base.resource(&stream_path(&stream(name), "/state"), &[]).path(), path);
            assert!(can_be_asked(&stream(name)));
        }
        assert!(!can_be_asked(&stream("..")) && !can_be_asked(&stream(".")));
    }
}
