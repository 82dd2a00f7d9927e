//! What the server itself says of a stream's states, compared with what its verified records give.

use cairn_tree::record::stream::StreamName;
use cairn_tree::wire::v1::{ObjectDifferences, States};

use super::Trail;
use super::error::TrailError;
use crate::fetch::Query;

/// With what of a stream its states begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// With nothing: this log's part is replayed alone, though the server may know of earlier ones in other logs.
    Nothing,
    /// With those that the earlier parts end with.
    Earlier,
}

impl Base {
    fn parameter(self) -> (&'static str, String) {
        let earlier = match self {
            Self::Nothing => "0",
            Self::Earlier => "1",
        };
        ("earlier", earlier.to_owned())
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
        let theirs = self.records.states(name, query).await?.replayed;
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
        let theirs = self.records.differences(name, query).await?.objects;
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
