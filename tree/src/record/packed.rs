//! Disclosures as they are stored: the bytes that the texts are the base64url of, each behind its length.

use super::base64url;
use super::disclosure::{Disclosures, DisclosuresError, Making};

/// The bytes of a length in front of a packed disclosure.
const PACKED_LENGTH: usize = 3;

impl Disclosures {
    /// Appends each disclosure as the bytes whose base64url it is, in three quarters of the room, behind their length in
    /// three bytes. Since those bytes have one text only, nothing is lost.
    ///
    /// # Errors
    /// [`DisclosuresError::NotBase64Url`] for a text with stray trailing bits, which has no such bytes.
    pub fn pack(&self, packed: &mut Vec<u8>) -> Result<(), DisclosuresError> {
        for (_, text) in self.iter() {
            let start = packed.len();
            packed.extend_from_slice(&[0; PACKED_LENGTH]);
            base64url::decode_onto(packed, text).ok_or(DisclosuresError::NotBase64Url)?;
            // At most 1 MiB of text.
            let length = (packed.len() - start - PACKED_LENGTH) as u32;
            let [_, length @ ..] = length.to_be_bytes();
            if let Some(place) = packed.get_mut(start..start + PACKED_LENGTH) {
                place.copy_from_slice(&length);
            }
        }
        Ok(())
    }

    /// Reads what [`Disclosures::pack`] wrote, and hashes it.
    ///
    /// # Errors
    /// [`DisclosuresError`].
    pub fn unpack(packed: &[u8]) -> Result<Self, DisclosuresError> {
        let mut making = Making::with_capacity(packed.len() / 3 * 4, packed.len() / 128);
        for json in Unpacking(packed) {
            making.push(json?)?;
        }
        Ok(making.done_from(packed))
    }
}

/// One packed disclosure after another, until one is cut off.
pub(super) struct Unpacking<'p>(pub(super) &'p [u8]);

impl<'p> Iterator for Unpacking<'p> {
    type Item = Result<&'p [u8], DisclosuresError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let rest = core::mem::take(&mut self.0);
        let split = rest.split_first_chunk::<PACKED_LENGTH>().and_then(|(length, rest)| {
            rest.split_at_checked(length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
        });
        let Some((json, rest)) = split else { return Some(Err(DisclosuresError::CutOff)) };
        self.0 = rest;
        Some(Ok(json))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_disclosures_are_the_same_again() {
        let texts = ["WyJzIiwxXQ", "WyJ0IiwyMl0", "WyJ1IiwzMzNd", "AA", "_-8"];
        for count in 0..=texts.len() {
            let disclosures = Disclosures::from_texts(texts[..count].iter().copied()).unwrap();
            let mut packed = Vec::new();
            disclosures.pack(&mut packed).unwrap();
            let unpacked = Disclosures::unpack(&packed).unwrap();
            assert_eq!(unpacked, disclosures);
            for ((digest, one), (same, other)) in unpacked.raw().zip(disclosures.raw()) {
                assert_eq!((digest, one.text, other.json), (same, other.text, None));
                assert_eq!(one.json.map(<[u8]>::to_vec), base64url::decode(one.text));
            }
            assert_eq!(unpacked.raw().count(), count);
            for cut in 1..packed.len() {
                let cut = Disclosures::unpack(&packed[..cut]);
                assert!(cut.is_err() || cut.is_ok_and(|disclosures| disclosures.len() < count));
            }
        }
    }

    /// Two texts of the same bytes: the second was never written by an encoder, and would come back as the first.
    #[test]
    fn a_text_with_stray_bits_is_not_packed() {
        for text in ["AB", "WyJzIiwxXR", "A"] {
            let disclosures = Disclosures::from_texts([text]).unwrap();
            assert_eq!(disclosures.pack(&mut Vec::new()), Err(DisclosuresError::NotBase64Url), "{text}");
        }
    }
}
