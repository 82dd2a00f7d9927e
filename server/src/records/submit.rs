//! From records that were made to what the engine takes: with the prints that they are found by, and whose they are.

use cairn_tree::record::id::Pseudonym;

use super::make::{Made, Says};
use crate::engine::postings::PrintSecret;
use crate::engine::records::{Expectation, Says as Told, Submission, id_print, name_print, topic_prints};

/// What makes submissions of records.
pub struct Submit<'s> {
    /// Stands for whoever brings them.
    pub by: Pseudonym,
    /// The secret of the log's prints.
    pub prints: &'s PrintSecret,
}

impl Submit<'_> {
    /// The submission of a record.
    #[must_use]
    pub fn submission(&self, made: Made<'_>) -> Submission {
        let topics = made.topics.as_ref().map(|topics| topic_prints(self.prints, topics));
        Submission {
            stream: name_print(self.prints, &made.stream),
            id: id_print(self.prints, made.id),
            prints: told(&made.says).prints(self.prints),
            opening_prints: topics.unwrap_or_default(),
            by: self.by,
            fresh_id: made.fresh_id,
            expected: Expectation { seq: made.expected.seq, prev: made.expected.prev },
            event: made.event,
            signature: made.signature,
            disclosures: made.disclosures,
            opening: made.opening,
        }
    }
}

/// What a record is found by.
fn told<'s>(says: &'s Says<'_>) -> Told<'s> {
    match says {
        Says::Plain(content) => Told {
            object: Some(&content.object),
            actor: content.actor.as_ref(),
            subjects: content.subjects.as_ref(),
            context: content.context.as_ref(),
        },
        Says::Signed(opened) => Told {
            object: opened.object.disclosed(),
            actor: opened.actor.disclosed().and_then(Option::as_ref),
            subjects: opened.subjects.disclosed().and_then(Option::as_ref),
            context: opened.context.disclosed().and_then(Option::as_ref),
        },
    }
}
