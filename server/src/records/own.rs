//! Records that the server writes about itself: what was read, what failed a check, what an operator changed.
//!
//! Each is sealed, sequenced and kept as a producer's is, and has something of the log's own (`cairn_tree::record::reserved`),
//! which no producer's may have. `by` stands for the server and for no token. Nothing of this can be reached over HTTP.
//!
//! Not here: whether somebody waits for such a record. It is refused when a producer's would be (a queue that is full, a
//! disk that nearly is, a log that is halted or sealed), and its writer decides what follows.

use std::sync::Arc;

use cairn_tree::checkpoint::Origin;
use cairn_tree::record::bounds::MAX_BATCH;
use cairn_tree::record::class::{Class, Classification};
use cairn_tree::record::disclosure::Salt;
use cairn_tree::record::draft::Content;
use cairn_tree::record::json::Json;
use cairn_tree::record::parts::Object;
use cairn_tree::record::reserved::OWN_MODULE;
use cairn_tree::record::stream::{StreamHead, StreamId, StreamName, Topics};
use cairn_tree::record::text::{Name, Operation, TextError};
use cairn_tree::record::time::Time;
use cairn_tree::record::values::{Document, Values, ValuesError};
use cairn_tree::size::LeafIndex;
use cairn_tree::wire::record::{RecordInput, StreamInput};
use tokio::runtime::Handle;

use super::derived::derived_id;
use super::draw::{NoRandomness, Random};
use super::make::{Begins, Expected, Maker, NotMade};
use super::said::Said;
use super::secret_file::SecretFile;
use super::submit::Submit;
use crate::engine::postings::PrintSecret;
use crate::engine::records::{RecordError, Sequenced, Submission};
use crate::engine::{AppendError, Clock, Log};

/// Writes what the server has to say of itself.
pub struct Own {
    secret: Arc<SecretFile>,
    random: Arc<dyn Random>,
    clock: Arc<dyn Clock>,
}

/// A record that the server is to write about itself.
#[derive(Debug, Clone)]
pub struct OwnRecord {
    content: Content<'static>,
    topics: Option<Topics<'static>>,
    continues: Option<StreamHead>,
    /// The salt of its stream's name, should it be the first of it.
    name_salt: Option<NameSalt>,
    expected: Expected,
    /// What it is about, if there is to be only one about it.
    once: Option<Vec<String>>,
}

/// A salt, which is shown to nobody.
#[derive(Clone, Copy)]
struct NameSalt(Salt);

impl core::fmt::Debug for NameSalt {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("NameSalt")
    }
}

/// Why the server could not write about itself. Nothing was written, unless [`AppendError::Stopping`] says that this is not
/// known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OwnError {
    /// A producer could have written the same.
    #[error("there is nothing of the log's own in the record")]
    NotOwn,
    /// There is no record to write, or there are more than one request may have.
    #[error("{0} records, not 1 to {MAX_BATCH}")]
    Count(usize),
    /// It can't be made of what it says.
    #[error("{0}")]
    Invalid(String),
    /// Nothing can be drawn.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The one record about this is there already.
    #[error("the one record about this is at {0} already")]
    There(LeafIndex),
    /// The log did not take it.
    #[error(transparent)]
    Record(RecordError),
}

impl From<NotMade> for OwnError {
    fn from(error: NotMade) -> Self {
        match error {
            NotMade::Refused(refusal) => Self::Invalid(refusal.into_problem().detail),
            NotMade::NoRandomness(error) => Self::NoRandomness(error),
            NotMade::Postings(error) => Self::Record(RecordError::Postings(error)),
        }
    }
}

impl From<RecordError> for OwnError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Id { index: Some(index), .. } => Self::There(index),
            error => Self::Record(error),
        }
    }
}

impl OwnError {
    /// What any append would be refused for, if it is that.
    #[must_use]
    pub const fn append(&self) -> Option<&AppendError> {
        match self {
            Self::Record(RecordError::Append(error)) => Some(error),
            _ => None,
        }
    }
}

impl OwnRecord {
    /// A record that says this. Its stream is its object's own, or the one that its context names.
    #[must_use]
    pub fn new(content: Content<'static>) -> Self {
        let (topics, continues, name_salt, once) = (None, None, None, None);
        Self { content, topics, continues, name_salt, expected: Expected::default(), once }
    }

    /// A record about an object, without an actor: as `cairn_tree::record::kind` has them.
    #[must_use]
    pub fn about(object: Object<'static>, values: Option<Values<'static>>) -> Self {
        Self::new(Content { object, actor: None, subjects: None, context: None, values, attributes: None })
    }

    /// With topics, should it be the first of its stream.
    #[must_use]
    pub fn with_topics(mut self, topics: Topics<'static>) -> Self {
        self.topics = Some(topics);
        self
    }

    /// Going on from a stream of another log, should it be the first of its own; expect that it is.
    #[must_use]
    pub fn continuing(mut self, head: StreamHead) -> Self {
        self.continues = Some(head);
        self
    }

    /// With this salt for the name of its stream, should it be the first of it: so its id is known before.
    #[must_use]
    pub fn with_name_salt(mut self, salt: Salt) -> Self {
        self.name_salt = Some(NameSalt(salt));
        self
    }

    /// Refused unless its stream is there.
    #[must_use]
    pub fn expecting(mut self, expected: Expected) -> Self {
        self.expected = expected;
        self
    }

    /// The only record of its log about what these parts name together: a second one is [`OwnError::There`], after a
    /// restart too.
    #[must_use]
    pub fn once(mut self, parts: &[&str]) -> Self {
        self.once = Some(parts.iter().map(|part| (*part).to_owned()).collect());
        self
    }
}

/// An object of the module `cairn`.
///
/// # Errors
/// [`TextError`] for an id that is none, or a name that was chosen badly here.
pub fn own_object(
    tenant: Name<'static>,
    entity: &'static str,
    id: String,
    operation: &'static str,
) -> Result<Object<'static>, TextError> {
    Ok(Object {
        tenant,
        module: Name::new(OWN_MODULE)?,
        entity: Name::new(entity)?,
        id: Name::new(id)?,
        operation: Operation::new(operation)?,
        row: None,
        category: None,
        action: None,
    })
}

/// Values of one class: a whole document after the event, of these members.
///
/// # Errors
/// [`ValuesError`].
pub fn own_values(
    class: Class,
    members: impl IntoIterator<Item = (&'static str, Json<'static>)>,
) -> Result<Values<'static>, ValuesError> {
    let members = members.into_iter().map(|(name, json)| (name.into(), json)).collect();
    Values::whole(None, (None, Some(Document::Members(members))), &Classification::all(class))
}

impl Own {
    /// A writer; `secret` is that of the database.
    #[must_use]
    pub fn new(secret: Arc<SecretFile>, random: Arc<dyn Random>, clock: Arc<dyn Clock>) -> Self {
        Self { secret, random, clock }
    }

    /// The salt of the name of a stream that goes on from another one, of this id: the same whenever it is asked for.
    #[must_use]
    pub fn name_salt(&self, log: &Log, from: StreamId) -> Salt {
        self.secret.of_log(&log.info().origin).name_salt(&[&from.to_text()])
    }

    /// Writes one record into a log. Resolves once it is under a released head, which is then durable.
    ///
    /// # Errors
    /// [`OwnError`].
    pub async fn write(&self, log: &Log, record: OwnRecord) -> Result<Sequenced, OwnError> {
        let mut written = self.write_all(log, vec![record]).await?;
        // As many come back as were given.
        written.pop().ok_or(OwnError::Count(0))
    }

    /// Writes several records into a log, all of them or none.
    ///
    /// # Errors
    /// [`OwnError`].
    pub async fn write_all(&self, log: &Log, records: Vec<OwnRecord>) -> Result<Vec<Sequenced>, OwnError> {
        if !(1..=MAX_BATCH).contains(&records.len()) {
            return Err(OwnError::Count(records.len()));
        }
        let mut random = [0; PrintSecret::LEN];
        self.random.fill(&mut random)?;
        let prints = log.make_print_secret(random).await?;
        let submissions = self.submissions(log, &prints, records)?;
        Ok(log.append_records(submissions, None).await?.records)
    }

    /// The same for blocking code, on a thread that runs no tasks: on one that does, the runtime panics.
    ///
    /// # Errors
    /// [`OwnError`].
    pub fn write_blocking(&self, runtime: &Handle, log: &Log, record: OwnRecord) -> Result<Sequenced, OwnError> {
        runtime.block_on(self.write(log, record))
    }

    fn submissions(
        &self,
        log: &Log,
        prints: &PrintSecret,
        records: Vec<OwnRecord>,
    ) -> Result<Vec<Submission>, OwnError> {
        let invalid = |error: &dyn core::fmt::Display| OwnError::Invalid(error.to_string());
        let origin = &Origin::new(&*log.info().origin).map_err(|error| invalid(&error))?;
        let now = Time::from_micros(self.clock.now_us()).map_err(|error| invalid(&error))?;
        let (secret, said) = (&self.secret.of_log(origin.as_str()), &Said::default());
        let submit = Submit { by: secret.server(), prints };
        let earlier = &|_: &StreamName<'_>| Ok(None);
        let maker = Maker { log: origin, secret, random: &*self.random, now, said, keys: &|_| None, earlier };
        let submission = |record: OwnRecord| {
            let OwnRecord { content, topics, continues, name_salt, expected, once } = record;
            if content.reserved().is_none() {
                return Err(OwnError::NotOwn);
            }
            let parts = once.as_ref().map(|parts| parts.iter().map(String::as_bytes).collect::<Vec<_>>());
            let id = parts.map(|parts| derived_id(secret.once(&parts), "")).transpose().map_err(NotMade::from)?;
            let stream = StreamInput { topics, expected_seq: expected.seq, expected_prev: expected.prev };
            let input = RecordInput { id, time: None, replaces: None, content, stream };
            Ok(submit.submission(maker.own(
                input,
                Begins { continues, name_salt: name_salt.map(|NameSalt(salt)| salt) },
                "",
            )?))
        };
        records.into_iter().map(submission).collect()
    }
}
