//! Matching disclosures to digests: each digest once, each disclosure used, each salt once.

use super::{Evidence, IntegrityError, Piece, Traced};
use crate::record::bounds::MAX_DISCLOSURES;
use crate::record::digest::Digest;
use crate::record::disclosure::{self, Raw, Salt};
use crate::record::json::{Read, Reader};
use crate::record::kind::{Concerned, Redactions};
use crate::record::shown::Shown;

/// The disclosures of one record, and which of them were asked for.
pub(super) struct Matching<'e> {
    redactions: &'e Redactions,
    /// The record that is opened.
    of: Concerned,
    /// By digest.
    disclosures: Vec<(Digest, Raw<'e>)>,
    /// In order.
    withheld: Vec<Digest>,
    met: Vec<Traced>,
    salts: Vec<Salt>,
    /// Said to be erased, and there.
    still_disclosed: Vec<Digest>,
}

impl<'e> Matching<'e> {
    pub(super) fn new(evidence: Evidence<'e>, of: Concerned) -> Result<Self, IntegrityError> {
        if evidence.withheld.len() > MAX_DISCLOSURES {
            return Err(IntegrityError::TooManyWithheld);
        }
        let mut disclosures: Vec<(Digest, Raw<'_>)> = evidence.disclosures.raw().collect();
        disclosures.sort_unstable_by_key(|(digest, _)| *digest);
        let mut withheld = evidence.withheld.to_vec();
        withheld.sort_unstable();
        let (met, salts) = (Vec::with_capacity(disclosures.len()), Vec::with_capacity(disclosures.len()));
        Ok(Self { redactions: evidence.redactions, of, disclosures, withheld, met, salts, still_disclosed: Vec::new() })
    }

    fn is_withheld(&self, digest: &Digest) -> bool {
        self.withheld.binary_search(digest).is_ok()
    }

    fn disclosure(&self, digest: &Digest) -> Option<Raw<'e>> {
        let at = self.disclosures.binary_search_by_key(digest, |(digest, _)| *digest).ok()?;
        self.disclosures.get(at).map(|(_, raw)| *raw)
    }

    /// Whether anything is said about a digest.
    pub(super) fn knows(&self, digest: &Digest) -> bool {
        self.disclosure(digest).is_some() || self.is_withheld(digest) || self.redactions.of(digest, self.of).is_some()
    }

    /// What became of a digest.
    pub(super) fn one<T>(
        &mut self,
        piece: Piece,
        digest: Digest,
        value: impl for<'j> FnOnce(&mut Reader<'j>) -> Read<T>,
    ) -> Result<Shown<T>, IntegrityError> {
        let withheld = self.is_withheld(&digest);
        let raw = self.disclosure(&digest);
        let redacted = self.redactions.of(&digest, self.of);
        if raw.is_some() && redacted.is_some() {
            self.still_disclosed.push(digest);
        }
        let shown = match (raw, redacted) {
            (Some(_), _) if withheld => return Err(IntegrityError::WithheldAndDisclosed(digest)),
            (Some(raw), _) => {
                let malformed = |fault| IntegrityError::Malformed { piece, digest, fault: Box::new(fault) };
                let (salt, value) = disclosure::open(raw, value).map_err(malformed)?;
                self.salts.push(salt);
                Shown::Disclosed(value)
            }
            // What is proven goes before what is claimed.
            (None, Some(index)) => Shown::Erased(index),
            (None, None) if withheld => Shown::Withheld,
            (None, None) => return Err(IntegrityError::Missing { piece, digest }),
        };
        self.met.push(Traced { digest, piece, became: shown.as_ref().map(|_| ()) });
        Ok(shown)
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

    /// Refuses digests that were met twice, disclosures that were not asked for, withheld digests that were not met, and
    /// salts that were used twice. What is left is what became of each digest, and those that are said to be erased and
    /// are there.
    pub(super) fn finish(mut self) -> Result<(Vec<Traced>, Vec<Digest>), IntegrityError> {
        self.met.sort_unstable_by_key(|traced| traced.digest);
        let twice = self.met.iter().zip(self.met.iter().skip(1)).find(|(one, other)| one.digest == other.digest);
        if let Some((traced, _)) = twice {
            return Err(IntegrityError::Twice(traced.digest));
        }
        let is_met = |digest: &Digest| self.met.binary_search_by_key(digest, |traced| traced.digest).is_ok();
        if let Some((digest, _)) = self.disclosures.iter().find(|(digest, _)| !is_met(digest)) {
            return Err(IntegrityError::Unreferenced(*digest));
        }
        if let Some(digest) = self.withheld.iter().find(|digest| !is_met(digest)) {
            return Err(IntegrityError::WithheldElsewhere(*digest));
        }
        // As numbers, which are compared faster than bytes.
        self.salts.sort_unstable_by_key(Salt::number);
        if self.salts.iter().zip(self.salts.iter().skip(1)).any(|(one, other)| one == other) {
            return Err(IntegrityError::SaltTwice);
        }
        Ok((self.met, self.still_disclosed))
    }
}
