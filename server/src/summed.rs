//! Small JSON files that tell of themselves whether they were changed: `{"sha256":"<64 hexadecimal digits>",` and then the
//! text as it would be without that member, but for its opening brace. The digest is of exactly those bytes, to the end.
//!
//! So every bit of such a file is checked, spaces included, and without the member it is JSON as good as before. That is how
//! versions before there was a digest wrote it; their files are read as they are, and get one when they are written again.
//! Here is no secret: whoever can write to a file on purpose can make its digest fit as well.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::backup::Digest;

/// What a file with a digest begins with. Another member of this name is unknown to all types that are read here.
const HEAD: &[u8] = b"{\"sha256\":\"";
/// What stands behind the digest.
const BEHIND: &[u8] = b"\",";
/// Hexadecimal digits of the digest.
const DIGITS: usize = 64;

/// What was read.
#[derive(Debug)]
pub(crate) struct Summed<T> {
    /// What it says.
    pub(crate) content: T,
    /// Whether a digest stood there, which fitted.
    pub(crate) has_sum: bool,
}

/// Why a file does not count.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    /// It is not what was written.
    #[error("what it says does not fit its sha256, so it was changed since it was written")]
    Changed,
    /// It is not what is ever written.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// The text of a file: of a struct with members, on lines of their own.
pub(crate) fn to_pretty(content: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec_pretty(content).map(|json| with_sum(&json))
}

/// The same on one line.
pub(crate) fn to_line(content: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(content).map(|json| with_sum(&json))
}

/// Reads a file back, one without a digest too. The type must refuse members that it does not know.
///
/// # Errors
/// [`Unfit`].
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<Summed<T>, Unfit> {
    let Some(summed) = bytes.strip_prefix(HEAD) else {
        return Ok(Summed { content: serde_json::from_slice(bytes)?, has_sum: false });
    };
    let (digest, rest) = summed.split_at_checked(DIGITS).ok_or(Unfit::Changed)?;
    let rest = rest.strip_prefix(BEHIND).ok_or(Unfit::Changed)?;
    if Digest::of(rest).to_string().as_bytes() != digest {
        return Err(Unfit::Changed);
    }
    let json = [b"{", rest].concat();
    Ok(Summed { content: serde_json::from_slice(&json)?, has_sum: true })
}

fn with_sum(json: &[u8]) -> Vec<u8> {
    let rest = json.strip_prefix(b"{").unwrap_or(json);
    [HEAD, Digest::of(rest).to_string().as_bytes(), BEHIND, rest].concat()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Content {
        format: u32,
        #[serde(default)]
        names: Vec<String>,
    }

    fn content() -> Content {
        Content { format: 1, names: vec!["ka".to_owned(), "sha256".to_owned(), "Größe".to_owned()] }
    }

    #[test]
    fn a_file_reads_back_and_says_its_digest_where_anybody_can_check_it() {
        let pretty = to_pretty(&content()).unwrap();
        let text = String::from_utf8(pretty.clone()).unwrap();
        assert!(text.starts_with("{\"sha256\":\"") && text.contains("\",\n  \"format\": 1,\n"), "{text}");
        let value: serde_json::Value = serde_json::from_slice(&pretty).unwrap();
        assert_eq!(value["sha256"], Digest::of(&pretty[HEAD.len() + DIGITS + BEHIND.len()..]).to_string());
        for bytes in [pretty, to_line(&content()).unwrap()] {
            let read = read::<Content>(&bytes).unwrap();
            assert_eq!((read.content, read.has_sum), (content(), true));
        }
    }

    #[test]
    fn a_file_of_before_is_read_and_no_other_place_of_the_digest_is() {
        let old = serde_json::to_vec_pretty(&content()).unwrap();
        let found = read::<Content>(&old).unwrap();
        assert_eq!((found.content, found.has_sum), (content(), false));
        // Taken out of the first line by hand, as docs/operations.md has it.
        let summed = String::from_utf8(to_pretty(&content()).unwrap()).unwrap();
        let taken = format!("{{{}", &summed[HEAD.len() + DIGITS + BEHIND.len()..]);
        assert_eq!(taken.as_bytes(), old);
        let digest = Digest::of(b"");
        for odd in
            [format!("{{ \"sha256\":\"{digest}\",\"format\":1}}"), format!("{{\"format\":1,\"sha256\":\"{digest}\"}}")]
        {
            assert!(matches!(read::<Content>(odd.as_bytes()), Err(Unfit::Json(_))), "{odd}");
        }
    }

    #[test]
    fn no_changed_bit_and_no_missing_end_passes() {
        for whole in [to_pretty(&content()).unwrap(), to_line(&content()).unwrap()] {
            for bit in 0..8 * whole.len() {
                let mut bad = whole.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(read::<Content>(&bad).is_err(), "bit {bit}: {:?}", String::from_utf8_lossy(&bad));
            }
            (0..whole.len()).for_each(|len| assert!(read::<Content>(&whole[..len]).is_err(), "cut at {len}"));
            assert!(read::<Content>(&[&whole[..], b"\n"].concat()).is_err());
        }
    }
}
