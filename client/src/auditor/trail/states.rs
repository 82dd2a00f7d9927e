//! What the server itself says of a stream's states, compared with what its verified records give.

use cairn_tree::record::stream::{StreamHead, StreamName};
use cairn_tree::wire::v1::{EarlierPart, MAX_EARLIER, ObjectDifferences, States};

use super::Trail;
use super::error::TrailError;
use crate::fetch::Query;

/// How many earlier parts a server follows; the one before them is named.
const FOLLOWED: usize = MAX_EARLIER - 1;

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

    /// Checks that the server's own answer begins with the same parts. Of more than it follows, the nearest are enough to
    /// be no other answer, though not to be compared.
    fn check(&self, theirs: &[EarlierPart]) -> Result<(), TrailError> {
        let Self::Earlier(ours) = self else { return Ok(()) };
        let read = theirs.iter().take_while(|part| part.checkpoint.is_some()).count();
        let is_same = theirs.iter().map(|part| &part.head).eq(ours.iter().take(theirs.len()));
        if !is_same || read < ours.len().min(FOLLOWED) {
            return Err(TrailError::Differs("what the stream goes on from".to_owned()));
        }
        if read < ours.len() { Err(TrailError::Unread(ours.len())) } else { Ok(()) }
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

#[cfg(test)]
mod tests {
    use cairn_tree::checkpoint::{Origin, SignedCheckpoint};
    use cairn_tree::hash::Hash;
    use cairn_tree::record::server_part::Seq;

    use super::*;

    fn head(number: usize) -> StreamHead {
        let log = Origin::new(format!("states.example/logs/{number}")).unwrap();
        let stream = "c2wNr0GPQQZIrZX8SN5KooNBpNeK6XDnDspB4TlIUeI".parse().unwrap();
        StreamHead { log, stream, seq: Seq::FIRST, leaf: Hash::leaf(b"x") }
    }

    /// The nearest so many of the parts, of which the last ones are named without having been read.
    fn named(count: usize, read: usize) -> Vec<EarlierPart> {
        let root = Hash::EMPTY_TREE.to_base64();
        let note = format!("states.example/log\n0\n{root}\n\n— states.example/log {}=\n", "A".repeat(91));
        let checkpoint = SignedCheckpoint::parse(note.as_bytes()).unwrap();
        (0..count).map(|n| EarlierPart { head: head(n), checkpoint: (n < read).then(|| checkpoint.clone()) }).collect()
    }

    /// Nobody but a server that follows no more may name fewer parts than there are.
    #[test]
    fn fewer_parts_differ_unless_a_server_follows_no_more() {
        for ours in [1, 2, FOLLOWED, FOLLOWED + 1, FOLLOWED + 5] {
            let base = Base::Earlier((0..ours).map(head).collect());
            let followed = ours.min(FOLLOWED);
            for (count, read) in [(0, 0), (followed - 1, followed - 1), (followed, followed - 1), (followed, 0)] {
                let checked = base.check(&named(count, read));
                assert!(matches!(checked, Err(TrailError::Differs(_))), "{ours} {count} {read}: {checked:?}");
            }
            let checked = base.check(&named(ours.min(MAX_EARLIER), followed));
            match ours > FOLLOWED {
                true => assert!(matches!(checked, Err(TrailError::Unread(count)) if count == ours), "{checked:?}"),
                false => assert!(checked.is_ok(), "{checked:?}"),
            }
        }
    }
}
