//! The parts of a stream that was in several logs, one after another: where each of them says that it goes on from, and that
//! the one before ends exactly there (`docs/record.md`, Streams).
//!
//! Each part is verified in its own log, by that log's key, before anything is said here. Not here: what the states of one
//! part are to the next (`cairn_tree::record::replay`).

use cairn_tree::checkpoint::Origin;
use cairn_tree::hash::Hash;
use cairn_tree::record::kind::goes_on;
use cairn_tree::record::server_part::Seq;
use cairn_tree::record::shown::Shown;
use cairn_tree::record::stream::{StreamHead, StreamId};
use cairn_tree::size::LeafIndex;

use super::error::TrailError;
use super::{Seen, Trail, Whole};
use crate::auditor::{AuditError, TileReader, seal_of};
use crate::bounds;

/// What the first record of a part says of those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning<'w> {
    /// It goes on from none: the stream begins here.
    Here,
    /// It goes on from this record of a stream in another log.
    After(&'w StreamHead),
    /// That is not shown, or it is of a later version.
    Unseen,
}

/// What is known of the end of a part besides that the next one names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Its last record says so, and names the next part.
    Said,
    /// The log that it is in is sealed: nothing can come after it.
    Sealed,
    /// Nothing: that it ends there is what the next part says.
    Claimed,
}

/// Why a part of a stream is not what another one goes on from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The stream of the same name in the other log is another one.
    #[error(
        "the part in {later} goes on from the stream {named} in {log}, and the stream of this name is {found} there"
    )]
    Stream {
        /// The log of the part that goes on.
        later: Origin,
        /// The log of the part before it.
        log: Origin,
        /// What it goes on from.
        named: StreamId,
        /// What is there.
        found: StreamId,
    },
    /// It ends before the record that is named, or after it.
    #[error("the part in {later} goes on from record {named} in {log}, and the part there ends with record {found}")]
    Number {
        /// The log of the part that goes on.
        later: Origin,
        /// The log of the part before it.
        log: Origin,
        /// What it goes on from.
        named: Seq,
        /// What is there.
        found: Seq,
    },
    /// Its last record is not the one that is named.
    #[error(
        "the part in {later} goes on from the leaf hash {named} in {log}, and the last record there, {seq}, has {found}"
    )]
    Leaf {
        /// The log of the part that goes on.
        later: Origin,
        /// The log of the part before it.
        log: Origin,
        /// The number of the record.
        seq: Seq,
        /// What it goes on from.
        named: Hash,
        /// What is there.
        found: Hash,
    },
    /// Its last record says that it goes on elsewhere.
    #[error("the part in {log} ends by saying that it goes on in {goes_on} as {stream}, and not as {ours} in {later}")]
    Elsewhere {
        /// The log of the part that goes on.
        later: Origin,
        /// Its stream.
        ours: StreamId,
        /// The log of the part before it.
        log: Origin,
        /// The log that its last record names.
        goes_on: Origin,
        /// The stream that its last record names.
        stream: StreamId,
    },
    /// A log that was met before.
    #[error("the parts go round in a circle: the one in {0} is named again")]
    Circle(Origin),
    /// More than any stream has.
    #[error("the stream was in more than {} logs before, by what they say", bounds::EARLIER_PARTS)]
    TooMany,
    /// It can't be told whether there is one before.
    #[error("whether the part in {0} goes on from another log is not shown")]
    Unseen(Origin),
}

impl Whole {
    /// What its first record says of the parts before it.
    #[must_use]
    pub fn beginning(&self) -> Beginning<'_> {
        let opening = self.seen.first().and_then(Seen::record).and_then(|first| first.opening());
        match opening.map(|opening| &opening.continues) {
            Some(Shown::Disclosed(None)) => Beginning::Here,
            Some(Shown::Disclosed(Some(head))) => Beginning::After(head),
            Some(Shown::Withheld | Shown::Erased(_)) | None => Beginning::Unseen,
        }
    }

    /// Where its last record says that it goes on: the log, and the stream's id there.
    #[must_use]
    pub fn goes_on(&self) -> Option<(Origin, StreamId)> {
        self.seen.last().and_then(Seen::record).and_then(goes_on)
    }

    /// Its last record, as another part may name it.
    #[must_use]
    pub fn head(&self) -> Option<StreamHead> {
        let last = self.seen.last()?.header();
        Some(StreamHead { log: last.log, stream: last.stream, seq: last.seq, leaf: last.hash })
    }

    /// Where its last record is in its log.
    #[must_use]
    pub fn last_index(&self) -> Option<LeafIndex> {
        self.seen.last().map(Seen::index)
    }

    /// Checks that this part ends with the record that a later one goes on from. Says whether its last record names that
    /// one too.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn ends_before(&self, later: &Self) -> Result<bool, TrailError> {
        let (Some(last), Some(first)) = (self.seen.last(), later.seen.first()) else {
            return Err(TrailError::Empty("a part of a stream"));
        };
        let (last, next) = (last.header(), first.header());
        let Beginning::After(named) = later.beginning() else { return Err(JoinError::Unseen(next.log).into()) };
        if last.log != named.log {
            let (found, trusted) = (Box::new(last.log), Box::new(named.log.clone()));
            return Err(TrailError::OtherLog { found, trusted });
        }
        let (later, log) = (next.log, last.log);
        if last.stream != named.stream {
            return Err(JoinError::Stream { later, log, named: named.stream, found: last.stream }.into());
        }
        if last.seq != named.seq {
            return Err(JoinError::Number { later, log, named: named.seq, found: last.seq }.into());
        }
        if last.hash != named.leaf {
            let (seq, named, found) = (last.seq, named.leaf, last.hash);
            return Err(JoinError::Leaf { later, log, seq, named, found }.into());
        }
        match self.goes_on() {
            None => Ok(false),
            Some((goes_on, stream)) if goes_on == later && stream == next.stream => Ok(true),
            Some((goes_on, stream)) => {
                Err(JoinError::Elsewhere { later, ours: next.stream, log, goes_on, stream }.into())
            }
        }
    }
}

impl Trail {
    /// Checks that a part that was read here ends with the record that a later one goes on from, and says how that it ends
    /// there is known.
    ///
    /// # Errors
    /// [`TrailError::Join`], and others where the end of the log can't be read.
    pub async fn ending(&self, part: &Whole, later: &Whole) -> Result<Ending, TrailError> {
        if part.ends_before(later)? {
            return Ok(Ending::Said);
        }
        let head = self.ground.head();
        let mut reader = TileReader::new(std::sync::Arc::clone(&self.remote), bounds::PARALLEL_FETCHES);
        let keys = self.ground.trust().log_keys().map_err(|error| AuditError::Keys(error.to_string()))?;
        let seal = seal_of(&self.remote, &mut reader, (head.tree(), &keys)).await?;
        Ok(if seal.is_some() { Ending::Sealed } else { Ending::Claimed })
    }
}
