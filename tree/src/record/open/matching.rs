//! Matching disclosures to digests: each digest once, each disclosure used.

use super::{Evidence, IntegrityError, Piece};
use crate::record::bounds::MAX_DISCLOSURES;
use crate::record::digest::Digest;
use crate::record::disclosure::read_text;
use crate::record::json::{Read, Reader};
use crate::record::kind::{Concerned, Redactions};
use crate::record::shown::Shown;

/// The disclosures of one record, and which of them were asked for.
pub(super) struct Matching<'e> {
    redactions: &'e Redactions,
    /// The record that is opened.
    of: Concerned,
    /// By digest.
    texts: Vec<(Digest, &'e str)>,
    /// In order.
    withheld: Vec<Digest>,
    met: Vec<Digest>,
    /// Said to be erased, and there.
    still_disclosed: Vec<Digest>,
}

impl<'e> Matching<'e> {
    pub(super) fn new(evidence: Evidence<'e>, of: Concerned) -> Result<Self, IntegrityError> {
        if evidence.withheld.len() > MAX_DISCLOSURES {
            return Err(IntegrityError::TooManyWithheld);
        }
        let mut texts: Vec<(Digest, &str)> = evidence.disclosures.iter().collect();
        texts.sort_unstable_by_key(|(digest, _)| *digest);
        let mut withheld = evidence.withheld.to_vec();
        withheld.sort_unstable();
        let met = Vec::with_capacity(texts.len());
        Ok(Self { redactions: evidence.redactions, of, texts, withheld, met, still_disclosed: Vec::new() })
    }

    fn is_withheld(&self, digest: &Digest) -> bool {
        self.withheld.binary_search(digest).is_ok()
    }

    fn text(&self, digest: &Digest) -> Option<&'e str> {
        let at = self.texts.binary_search_by_key(digest, |(digest, _)| *digest).ok()?;
        self.texts.get(at).map(|(_, text)| *text)
    }

    /// Whether anything is said about a digest.
    pub(super) fn knows(&self, digest: &Digest) -> bool {
        self.text(digest).is_some() || self.is_withheld(digest) || self.redactions.of(digest, self.of).is_some()
    }

    /// What became of a digest.
    pub(super) fn one<T>(
        &mut self,
        piece: Piece,
        digest: Digest,
        value: impl for<'j> FnOnce(&mut Reader<'j>) -> Read<T>,
    ) -> Result<Shown<T>, IntegrityError> {
        self.met.push(digest);
        let withheld = self.is_withheld(&digest);
        let text = self.text(&digest);
        let redacted = self.redactions.of(&digest, self.of);
        if text.is_some() && redacted.is_some() {
            self.still_disclosed.push(digest);
        }
        match text {
            Some(_) if withheld => Err(IntegrityError::WithheldAndDisclosed(digest)),
            Some(text) => read_text(text, value).map(Shown::Disclosed).map_err(|fault| IntegrityError::Malformed {
                piece,
                digest,
                fault: Box::new(fault),
            }),
            None if withheld => Ok(Shown::Withheld),
            None => match redacted {
                Some(index) => Ok(Shown::Erased(index)),
                None => Err(IntegrityError::Missing { piece, digest }),
            },
        }
    }

    /// The same for what may be null.
    pub(super) fn optional<T>(
        &mut self,
        piece: Piece,
        digest: Digest,
        value: impl for<'j> FnOnce(&mut Reader<'j>) -> Read<T>,
    ) -> Result<Shown<Option<T>>, IntegrityError> {
        self.one(piece, digest, |reader| if reader.null()? { Ok(None) } else { value(reader).map(Some) })
    }

    /// Refuses digests that were met twice, disclosures that were not asked for, and withheld digests that were not met.
    /// What is left are the digests that are said to be erased and are there.
    pub(super) fn finish(mut self) -> Result<Vec<Digest>, IntegrityError> {
        self.met.sort_unstable();
        let twice = self.met.iter().zip(self.met.iter().skip(1)).find(|(one, other)| one == other);
        if let Some((digest, _)) = twice {
            return Err(IntegrityError::Twice(*digest));
        }
        let is_met = |digest: &Digest| self.met.binary_search(digest).is_ok();
        if let Some((digest, _)) = self.texts.iter().find(|(digest, _)| !is_met(digest)) {
            return Err(IntegrityError::Unreferenced(*digest));
        }
        if let Some(digest) = self.withheld.iter().find(|digest| !is_met(digest)) {
            return Err(IntegrityError::WithheldElsewhere(*digest));
        }
        Ok(self.still_disclosed)
    }
}
