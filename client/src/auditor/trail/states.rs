//! What the server itself says of a stream's states, compared with what its verified records give.

use cairn_tree::record::stream::{StreamHead, StreamName};
use cairn_tree::wire::v1::{EarlierPart, ObjectDifferences, States};

use super::Trail;
use super::error::TrailError;
use crate::fetch::Query;

/// With what of a stream its states begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// With nothing: this log's part is replayed alone, though the server may know of earlier ones in other logs.
    Nothing,
    /// With those that the earlier parts end with, the last record of each of which is this, the nearest first.
    Earlier(Vec<StreamHead>),
}

impl Base {
    fn parameter(&self) -> (&'static str, String) {
        let earlier = match self {
            Self::Nothing => "0",
            Self::Earlier(_) => "1",
        };
        ("earlier", earlier.to_owned())
    }

    /// Checks that the server's own answer begins with the same parts. It follows fewer logs than we do.
    fn check(&self, theirs: &[EarlierPart]) -> Result<(), TrailError> {
        let Self::Earlier(ours) = self else { return Ok(()) };
        let read = theirs.iter().filter(|part| part.checkpoint.is_some());
        if !theirs.iter().map(|part| &part.head).eq(ours.iter().take(theirs.len())) {
            return Err(TrailError::Differs("what the stream goes on from".to_owned()));
        }
        if read.count() < ours.len() { Err(TrailError::Unread(ours.len())) } else { Ok(()) }
    }
}

impl Trail {
    /// Asks the server for its own replay, and compares it with ours.
    ///
    /// # Errors
    /// [`TrailError::Differs`], or [`TrailError::Fetch`] if the server gives none.
    pub async fn compare_states(
        &self,
        name: &StreamName<'_>,
        (mut query, base): (Query, Base),
        ours: &States,
    ) -> Result<(), TrailError> {
        query.push(base.parameter());
        let answer = self.records.states(name, query).await?;
        base.check(&answer.earlier)?;
        let theirs = answer.replayed;
        if theirs == *ours {
            return Ok(());
        }
        let pairs = ours.states.iter().zip(&theirs.states);
        let object = pairs.into_iter().find(|(ours, theirs)| ours != theirs).map(|(ours, _)| &ours.object);
        Err(TrailError::Differs(match object {
            Some(object) => format!("the state of {}", object.id),
            None if ours.states.len() != theirs.states.len() => "the number of objects".to_owned(),
            None => "what does not fit together".to_owned(),
        }))
    }

    /// Asks the server for its own comparison of two points, and compares it with ours.
    ///
    /// # Errors
    /// As [`Trail::compare_states`].
    pub async fn compare_differences(
        &self,
        name: &StreamName<'_>,
        (mut query, base): (Query, Base),
        ours: &[ObjectDifferences],
    ) -> Result<(), TrailError> {
        query.push(base.parameter());
        let answer = self.records.differences(name, query).await?;
        base.check(&answer.earlier)?;
        let theirs = answer.objects;
        if theirs == ours {
            return Ok(());
        }
        let mut pairs = ours.iter().zip(&theirs);
        let object = pairs.find(|(ours, theirs)| ours != theirs).map(|(ours, _)| ours.object.id.to_string());
        Err(TrailError::Differs(object.map_or_else(
            || "the number of objects that differ".to_owned(),
            |object| format!("what changed of {object}"),
        )))
    }
}
