//! What identifies records, and who brought them: both stand in the leaf in clear, so that neither may say anything.

use core::fmt;
use core::str::FromStr;

use super::base64url;
use super::time::Time;

/// The id of a record: a UUID (RFC 9562) of version 7 or 4.
///
/// Of the other versions none is taken: they hold a host's address or the hash of a name, and the leaf is public. Its text
/// is the lower-case one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId([u8; 16]);

/// Why a text is no id of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordIdError {
    /// It is not the text of a UUID.
    #[error("a record's id is a UUID in lower case, such as 01890a5d-ac96-774b-bcce-b302099a8057")]
    Text,
    /// It is a UUID of another version or variant.
    #[error("a record's id is a UUID of version 7 or 4")]
    Version,
}

impl RecordId {
    /// The length of its text.
    pub const TEXT_LEN: usize = 36;

    /// A UUID of version 7 (RFC 9562, section 5.7): the milliseconds of `time`, and 74 of the random bits.
    #[must_use]
    pub fn v7(time: Time, random: [u8; 10]) -> Self {
        let [_, _, t0, t1, t2, t3, t4, t5] = time.millis().to_be_bytes();
        let [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9] = random;
        Self([t0, t1, t2, t3, t4, t5, 0x70 | r0 & 0x0f, r1, 0x80 | r2 & 0x3f, r3, r4, r5, r6, r7, r8, r9])
    }

    /// Checks the bytes of a UUID.
    ///
    /// # Errors
    /// [`RecordIdError::Version`].
    pub const fn from_bytes(bytes: [u8; 16]) -> Result<Self, RecordIdError> {
        let [_, _, _, _, _, _, version, _, variant, ..] = bytes;
        // RFC 9562, sections 4.1 and 4.2.
        if matches!(version >> 4, 4 | 7) && variant >> 6 == 0b10 {
            Ok(Self(bytes))
        } else {
            Err(RecordIdError::Version)
        }
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The text, in ASCII.
    #[must_use]
    pub fn to_text(self) -> [u8; Self::TEXT_LEN] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |value: u8| DIGITS.get(usize::from(value & 15)).copied().unwrap_or(b'0');
        let mut text = [b'-'; Self::TEXT_LEN];
        let places = text.iter_mut().enumerate().filter(|(at, _)| !matches!(at, 8 | 13 | 18 | 23));
        let digits = self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]);
        places.zip(digits).for_each(|((_, place), digit)| *place = digit);
        text
    }
}

impl FromStr for RecordId {
    type Err = RecordIdError;

    fn from_str(text: &str) -> Result<Self, RecordIdError> {
        if text.len() != Self::TEXT_LEN {
            return Err(RecordIdError::Text);
        }
        let mut bytes = [0; 16];
        let mut count = 0;
        for (at, byte) in text.bytes().enumerate() {
            let value = match byte {
                b'-' if matches!(at, 8 | 13 | 18 | 23) => continue,
                _ if matches!(at, 8 | 13 | 18 | 23) => return Err(RecordIdError::Text),
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                _ => return Err(RecordIdError::Text),
            };
            if let Some(place) = bytes.get_mut(count / 2) {
                *place = *place << 4 | value;
            }
            count += 1;
        }
        Self::from_bytes(bytes)
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(core::str::from_utf8(&self.to_text()).unwrap_or_default())
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordId({self})")
    }
}

/// Stands for the credential that brought a record. Who knows how it was derived can tell which credential it is; nobody
/// else can.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pseudonym([u8; Pseudonym::LEN]);

/// A text that is no pseudonym.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pseudonym is the base64url of 16 bytes without padding, 22 characters")]
pub struct PseudonymError;

impl Pseudonym {
    /// The length in bytes.
    pub const LEN: usize = 16;
    /// The length of its text.
    pub const TEXT_LEN: usize = 22;

    /// Wraps bytes, such as the beginning of a keyed hash of the credential's name.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The text, in ASCII.
    #[must_use]
    pub fn to_text(self) -> [u8; Self::TEXT_LEN] {
        base64url::encode_array(&self.0)
    }
}

impl FromStr for Pseudonym {
    type Err = PseudonymError;

    fn from_str(text: &str) -> Result<Self, PseudonymError> {
        base64url::decode_array(text).map(Self).ok_or(PseudonymError)
    }
}

impl fmt::Display for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(core::str::from_utf8(&self.to_text()).unwrap_or_default())
    }
}

impl fmt::Debug for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pseudonym({self})")
    }
}
