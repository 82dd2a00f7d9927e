//! Matching disclosures to digests: each digest once, each disclosure used.

use super::{Evidence, IntegrityError, Piece};
use crate::checkpoint::Origin;
use crate::record::digest::Digest;
use crate::record::disclosure::read_text;
use crate::record::json::{Read, Reader};
use crate::record::shown::Shown;
use crate::size::LeafIndex;

/// The disclosures of one record, and which of them were asked for.
pub(super) struct Matching<'e> {
    evidence: Evidence<'e>,
    log: &'e Origin,
    index: LeafIndex,
    /// By digest.
    texts: Vec<(Digest, &'e str)>,
    met: Vec<Digest>,
}

impl<'e> Matching<'e> {
    pub(super) fn new(evidence: Evidence<'e>, log: &'e Origin, index: LeafIndex) -> Self {
        let mut texts: Vec<(Digest, &str)> = evidence.disclosures.iter().collect();
        texts.sort_unstable_by_key(|(digest, _)| *digest);
        let met = Vec::with_capacity(texts.len());
        Self { evidence, log, index, texts, met }
    }

    fn text(&self, digest: &Digest) -> Option<&'e str> {
        let at = self.texts.binary_search_by_key(digest, |(digest, _)| *digest).ok()?;
        self.texts.get(at).map(|(_, text)| *text)
    }

    /// Whether anything is said about a digest.
    pub(super) fn knows(&self, digest: &Digest) -> bool {
        self.text(digest).is_some()
            || self.evidence.withheld.contains(digest)
            || self.evidence.redactions.of(self.log, digest, self.index).is_some()
    }

    /// What became of a digest.
    pub(super) fn one<T>(
        &mut self,
        piece: Piece,
        digest: Digest,
        value: impl for<'j> FnOnce(&mut Reader<'j>) -> Read<T>,
    ) -> Result<Shown<T>, IntegrityError> {
        self.met.push(digest);
        let withheld = self.evidence.withheld.contains(&digest);
        match self.text(&digest) {
            Some(_) if withheld => Err(IntegrityError::WithheldAndDisclosed(digest)),
            Some(text) => read_text(text, value).map(Shown::Disclosed).map_err(|fault| IntegrityError::Malformed {
                piece,
                digest,
                fault: Box::new(fault),
            }),
            None if withheld => Ok(Shown::Withheld),
            None => match self.evidence.redactions.of(self.log, &digest, self.index) {
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
    pub(super) fn finish(mut self) -> Result<(), IntegrityError> {
        self.met.sort_unstable();
        let twice = self.met.iter().zip(self.met.iter().skip(1)).find(|(one, other)| one == other);
        if let Some((digest, _)) = twice {
            return Err(IntegrityError::Twice(*digest));
        }
        let is_met = |digest: &Digest| self.met.binary_search(digest).is_ok();
        if let Some((digest, _)) = self.texts.iter().find(|(digest, _)| !is_met(digest)) {
            return Err(IntegrityError::Unreferenced(*digest));
        }
        match self.evidence.withheld.iter().find(|digest| !is_met(digest)) {
            Some(digest) => Err(IntegrityError::WithheldElsewhere(*digest)),
            None => Ok(()),
        }
    }
}
