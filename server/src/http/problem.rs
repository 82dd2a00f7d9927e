//! A problem on its way to an answer: the document of `wire::problem`, and what goes with it in headers and in our own log.

use std::fmt::Display;
use std::time::Duration;

use cairn_listen::{Answer, Payload};
use cairn_tree::size::TreeSize;
use cairn_tree::store::StoreError;
use cairn_tree::wire::media;
use cairn_tree::wire::problem::Problem as Document;
pub(crate) use cairn_tree::wire::problem::ProblemKind as Kind;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::reading::NOT_KEPT;
use crate::engine::doubt::{NAME, OF_THE_LOG};
use crate::engine::postings::PostingsError;
use crate::engine::records::RecordError;
use crate::engine::{AppendError, Log, ProofError, ReadError, policy_in_doubt, say_which_policy};
use crate::records::{OwnError, Refusal};

/// When to try again what a bounded queue did not take: commits take milliseconds.
const SHORTLY: Duration = Duration::from_secs(1);
/// When to try again what needs an operator, or a restart.
const LATER: Duration = Duration::from_secs(30);

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Boxed, so that the results of handlers stay small.
    document: Box<Document>,
    status: StatusCode,
    header: Option<(HeaderName, HeaderValue)>,
    close: bool,
    /// What is for the operator's eyes only.
    cause: Option<String>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { document: Box::new(Document::new(kind, detail)), status, header: None, close: false, cause: None }
    }

    /// A field whose value can't be read.
    pub(crate) fn malformed(field: &'static str, value: impl AsRef<str>, detail: impl Display) -> Self {
        Self::new(Kind::Malformed, format!("{field}: {detail}")).field(field).value(value)
    }

    pub(crate) fn not_found() -> Self {
        Self::new(Kind::NotFound, "no such resource")
    }

    pub(crate) fn too_large(field: &'static str, found: impl Display, most: impl Display, unit: &str) -> Self {
        let detail = format!("{field}: {found} {unit}, but at most {most} are taken");
        Self::new(Kind::TooLarge, detail).field(field).value(found.to_string()).bound(format!("at most {most} {unit}"))
    }

    pub(crate) fn busy(detail: impl Into<String>) -> Self {
        Self::new(Kind::Busy, detail).retry_after(SHORTLY)
    }

    /// More at once than this caller may have, whatever others do.
    pub(crate) fn too_many(detail: impl Into<String>) -> Self {
        Self::new(Kind::RateLimited, detail).retry_after(SHORTLY)
    }

    /// Something that only the operator can mend; the cause goes to the log, not to the caller.
    pub(crate) fn internal(cause: impl Display) -> Self {
        let problem = Self::new(Kind::Internal, "the server's log says more under this request id");
        Self { cause: Some(cause.to_string()), ..problem }
    }

    /// A read that can't be put on record, and so is not answered.
    pub(crate) fn unrecorded(error: OwnError) -> Self {
        let why = match &error {
            OwnError::Invalid(words) => {
                return Self::new(Kind::TooLarge, format!("the read can't be put on record: {words}"));
            }
            OwnError::Record(RecordError::Append(AppendError::Halted(_))) => "the log is halted".to_owned(),
            OwnError::Record(RecordError::Append(AppendError::Stopping(_))) => "the server is stopping".to_owned(),
            OwnError::Record(RecordError::Append(error)) => error.to_string(),
            OwnError::Record(RecordError::Postings(_)) => "the log's indexes are being built".to_owned(),
            _ => return Self::internal(error),
        };
        let detail = format!("whoever reads these records is put on record first, and that can't be: {why}");
        let problem = Self { cause: Some(error.to_string()), ..Self::new(Kind::Unrecorded, detail) };
        match error.append() {
            Some(AppendError::DiskReserve { .. }) => {
                problem.status(StatusCode::INSUFFICIENT_STORAGE).retry_after(LATER)
            }
            Some(AppendError::QueueFull) => Self { cause: None, ..problem }.retry_after(SHORTLY),
            _ => problem.retry_after(LATER),
        }
    }

    /// Too many reads that were to be put on record.
    pub(crate) fn read_too_often(after: Duration) -> Self {
        let detail = "reads of these records are put on record, and of those this token has as many as it may";
        Self::new(Kind::RateLimited, detail).retry_after(after)
    }

    /// Whether it tells something of what there is: all that is said of a request that could be understood, and that a
    /// record is not what it should be. What the server can't do now tells nothing.
    pub(crate) fn tells(&self) -> bool {
        match self.kind() {
            Kind::Integrity | Kind::Damaged => true,
            Kind::RateLimited => false,
            _ => self.status.is_client_error(),
        }
    }

    /// Adds to what happened.
    pub(crate) fn detail_more(mut self, more: &str) -> Self {
        self.document.detail = format!("{}\n{more}", self.document.detail).trim_end().to_owned();
        self
    }

    pub(crate) fn field(mut self, field: &'static str) -> Self {
        self.document = Box::new(self.document.with_field(field));
        self
    }

    /// Repeats a value, cut to a bounded length.
    pub(crate) fn value(mut self, value: impl AsRef<str>) -> Self {
        self.document = Box::new(self.document.with_value(value.as_ref()));
        self
    }

    pub(crate) fn bound(mut self, bound: impl Into<String>) -> Self {
        self.document = Box::new(self.document.with_bound(bound));
        self
    }

    pub(crate) fn retry_after(mut self, after: Duration) -> Self {
        self.header = Some((RETRY_AFTER, HeaderValue::from(after.as_millis().div_ceil(1_000).max(1) as u64)));
        self
    }

    pub(crate) fn allow(mut self, methods: &'static str) -> Self {
        self.header = Some((ALLOW, HeaderValue::from_static(methods)));
        self
    }

    /// Asks for a token (RFC 6750, section 3).
    pub(crate) fn challenge(mut self, challenge: &'static str) -> Self {
        self.header = Some((WWW_AUTHENTICATE, HeaderValue::from_static(challenge)));
        self
    }

    /// Says the same with another status.
    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self.document.status = status.as_u16();
        self
    }

    /// Ends the connection with this answer.
    pub(crate) const fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    pub(crate) fn kind(&self) -> Kind {
        self.document.kind().unwrap_or(Kind::Internal)
    }

    /// The words of its kind, which are the same for all of them and tell nothing of the request.
    pub(crate) fn title(&self) -> &str {
        &self.document.title
    }

    pub(crate) fn detail(&self) -> &str {
        &self.document.detail
    }

    /// The place in a JSON body that is wrong.
    pub(crate) fn pointer(&self) -> Option<&str> {
        self.document.pointer.as_deref()
    }

    /// The parameter or header that is wrong.
    pub(crate) fn named(&self) -> Option<&str> {
        self.document.field.as_deref()
    }

    pub(crate) fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The document.
    pub(crate) fn document(&self) -> Vec<u8> {
        // Strings and a number always serialize.
        serde_json::to_vec(&self.document).unwrap_or_default()
    }

    /// The answer. `http1` tells whether the connection can be told to close in a header.
    pub(crate) fn to_answer(&self, http1: bool) -> Answer {
        let mut answer = Response::new(Payload::whole(self.document()));
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media::PROBLEM));
        headers.insert(CACHE_CONTROL, NOT_KEPT);
        if let Some((name, value)) = &self.header {
            headers.insert(name.clone(), value.clone());
        }
        if self.close && http1 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

impl From<Document> for Problem {
    fn from(document: Document) -> Self {
        let status = StatusCode::from_u16(document.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { document: Box::new(document), status, header: None, close: false, cause: None }
    }
}

impl From<PostingsError> for Problem {
    fn from(error: PostingsError) -> Self {
        match error {
            PostingsError::Read(error) => error.into(),
            PostingsError::Behind { indexed, size, earlier: None } => {
                Self::busy(format!("the log's indexes are being built: {indexed} of {size} entries so far"))
                    .retry_after(LATER)
            }
            PostingsError::Behind { indexed, size, earlier: Some(log) } => {
                let detail = format!(
                    "what the earlier log {log} has of this is not known before its indexes are built: {indexed} of \
                     {size} entries so far"
                );
                Self::busy(detail).field("log").value(log).retry_after(LATER)
            }
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        refusal.into_problem().into()
    }
}

/// A log that publishes no checkpoint: nobody knows which policy it has to meet, or none has met it since.
pub(crate) fn unpublished(log: &Log) -> Problem {
    let detail = if log.lacks_policy() {
        format!(
            "{}, and its checkpoint is gone: none is published before its operator has said which policy holds, with {}; what \
             was logged is served up to `head`",
            policy_in_doubt(OF_THE_LOG),
            say_which_policy(NAME)
        )
    } else {
        "a repair or a restore lost the log's checkpoint, and no head has met its witness policy since; what was logged is \
         served up to `head`"
            .to_owned()
    };
    Problem::new(Kind::Held, detail).retry_after(LATER)
}

/// A leaf past the head.
pub(crate) fn no_such_leaf(index: u64, size: TreeSize) -> Problem {
    let detail = format!("index: there is no entry {index}; the log's size is {size}");
    Problem::new(Kind::NotFound, detail).field("index").value(index.to_string()).bound(format!("below {size}"))
}

impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::QueueFull => Self::busy("too many appends are waiting for the writer"),
            AppendError::DiskReserve { free, reserve } => {
                let problem =
                    Self::new(Kind::DiskReserve, "appends go on by themselves once there is room; reads go on");
                problem.value(format!("{free} bytes free")).bound(format!("{reserve} bytes")).retry_after(LATER)
            }
            AppendError::Halted(reason) => {
                let detail =
                    "its stored bytes, or what a witness showed, contradict what was to be signed; reads go on";
                let problem = Self::new(Kind::Halted, detail);
                Self { cause: Some(reason), ..problem.retry_after(LATER) }
            }
            AppendError::Held => {
                let detail = "since the start, the log's witnesses have not agreed yet that it goes on from where it was; reads go on";
                Self::new(Kind::Held, detail).retry_after(SHORTLY)
            }
            AppendError::LacksPolicy => {
                let detail = format!(
                    "{}: it takes no appends, and publishes nothing, before its operator has said which policy holds, with {}; \
                     reads go on",
                    policy_in_doubt(OF_THE_LOG),
                    say_which_policy(NAME)
                );
                Self::new(Kind::Held, detail).retry_after(LATER)
            }
            AppendError::Sealed(None) => Self::new(Kind::Sealed, "the log has ended and takes no more entries"),
            AppendError::Sealed(Some(successor)) => {
                let detail = format!("the log has ended and takes no more entries; {successor} continues it");
                Self::new(Kind::Sealed, detail).field("log").bound(successor)
            }
            AppendError::AwaitsLink => {
                Self::busy("the log continues another one, and its first entry, which says so, is not there yet")
            }
            AppendError::IdempotencyMismatch => {
                Self::new(Kind::KeyReused, "idempotency-key: it came with other entries before")
                    .field("idempotency-key")
            }
            AppendError::LogFull => Self::new(Kind::Sealed, "the log holds as many entries as a tree can"),
            AppendError::Stopping(reason) => {
                let detail = "whether the entries were appended is known after the restart; an idempotency key makes the retry exact";
                Self { cause: Some(reason), ..Self::new(Kind::Stopping, detail).retry_after(SHORTLY) }
            }
        }
    }
}

impl From<ProofError> for Problem {
    fn from(error: ProofError) -> Self {
        match error {
            ProofError::Read(error) => error.into(),
            ProofError::Question(question) => Self::new(Kind::OutOfRange, question),
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match &error {
            ReadError::Damaged { place, .. } => {
                let detail = format!("{place} is missing or damaged, and is not given out; other reads go on");
                Self { cause: Some(error.to_string()), ..Self::new(Kind::Damaged, detail).value(place) }
            }
            ReadError::Store(StoreError::Corrupt(_)) | ReadError::Row(_) => {
                let detail = "what the store holds here is damaged, and is not given out; other reads go on";
                Self { cause: Some(error.to_string()), ..Self::new(Kind::Damaged, detail) }
            }
            ReadError::Store(StoreError::Io(_)) => Self::internal(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_problem_names_field_value_and_bound() {
        let answer = Problem::too_large("entry", 70_000, 65_535, "bytes").to_answer(true);
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(
            body,
            concat!(
                r#"{"type":"urn:cairn:problem:too-large","title":"The request is too large","status":413,"#,
                r#""detail":"entry: 70000 bytes, but at most 65535 are taken","field":"entry","#,
                r#""value":"70000","bound":"at most 65535 bytes"}"#
            )
        );
    }

    #[test]
    fn an_index_that_is_being_built_says_of_which_log_and_when_to_come_again() {
        for (earlier, detail, value) in [
            (None, "the log's indexes are being built: 7 of 900 entries so far", None),
            (
                Some("example.com/logs/main"),
                "is not known before its indexes are built: 7 of 900",
                Some("example.com/logs/main"),
            ),
        ] {
            let problem =
                Problem::from(PostingsError::Behind { indexed: 7, size: 900, earlier: earlier.map(Into::into) });
            assert!(problem.detail().contains(detail) && problem.detail().contains(value.unwrap_or_default()));
            let answer = problem.to_answer(true);
            assert_eq!((answer.status().as_u16(), answer.headers()[RETRY_AFTER].to_str().unwrap()), (503, "30"));
            assert_eq!(problem.document.value.as_deref(), value);
        }
    }

    #[test]
    fn a_read_that_can_not_be_on_record_says_why_and_when_to_come_again() {
        let unrecorded = |error: AppendError| {
            let problem = Problem::unrecorded(OwnError::Record(error.into()));
            assert_eq!(problem.kind(), Kind::Unrecorded);
            let after = problem.header.as_ref().map(|(name, value)| (name.clone(), value.to_str().unwrap().to_owned()));
            (problem.status.as_u16(), after.filter(|(name, _)| name == RETRY_AFTER).unwrap().1)
        };
        assert_eq!(unrecorded(AppendError::QueueFull), (503, "1".into()));
        assert_eq!(unrecorded(AppendError::DiskReserve { free: 1, reserve: 2 }), (507, "30".into()));
        assert_eq!(unrecorded(AppendError::Sealed(None)), (503, "30".into()));
        let halted = Problem::unrecorded(OwnError::Record(AppendError::Halted("tile 7 differs".into()).into()));
        assert!(!halted.detail().contains("tile 7") && halted.cause().unwrap().contains("tile 7"));
        assert_eq!(Problem::unrecorded(OwnError::Invalid("too long".into())).kind(), Kind::TooLarge);
    }

    #[test]
    fn causes_stay_inside() {
        let problem = Problem::from(AppendError::Halted("tile 7 differs".into()));
        assert_eq!(problem.cause(), Some("tile 7 differs"));
        assert!(!serde_json::to_string(&problem.document).unwrap().contains("tile 7"));
    }
}
