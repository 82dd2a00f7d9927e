//! Characters of a text, however they are written: as they are, escaped as in JSON (in a string within a string too),
//! percent-encoded (more than once too), or escaped and then percent-encoded. Not here: what they mean.

/// How often something may be percent-encoded one over the other and still be read.
const DEPTH: usize = 8;
/// How many characters at most one takes that is looked for from its end: `%5C%75%30%30%33%43` is one, and so is what is
/// percent-encoded as often as that is read.
const WIDTH: usize = 2 * DEPTH + 2;

/// A character as it stands in a text of some width.
pub(super) trait Unit: Copy {
    /// Its bytes.
    const BYTES: usize;
    /// Reads one.
    fn read(bytes: &[u8], big: bool) -> Self;
    /// Writes it.
    fn write(self, big: bool, out: &mut Vec<u8>);
    /// An ASCII character.
    fn of(ascii: u8) -> Self;
    /// The character, if it is ASCII; else a byte that is none.
    fn ascii(self) -> u8;
}

impl Unit for u8 {
    const BYTES: usize = 1;

    fn read(bytes: &[u8], _: bool) -> Self {
        bytes.first().copied().unwrap_or_default()
    }

    fn write(self, _: bool, out: &mut Vec<u8>) {
        out.push(self);
    }

    fn of(ascii: u8) -> Self {
        ascii
    }

    fn ascii(self) -> u8 {
        self
    }
}

/// A character of several bytes.
macro_rules! wide {
    ($($kind:ty),+) => {$(
        impl Unit for $kind {
            const BYTES: usize = size_of::<$kind>();

            fn read(bytes: &[u8], big: bool) -> Self {
                let bytes = bytes.try_into().unwrap_or_default();
                if big { Self::from_be_bytes(bytes) } else { Self::from_le_bytes(bytes) }
            }

            fn write(self, big: bool, out: &mut Vec<u8>) {
                out.extend_from_slice(&if big { self.to_be_bytes() } else { self.to_le_bytes() });
            }

            fn of(ascii: u8) -> Self {
                Self::from(ascii)
            }

            fn ascii(self) -> u8 {
                u8::try_from(self).ok().filter(u8::is_ascii).unwrap_or(u8::MAX)
            }
        }
    )+};
}

wide!(u16, u32);

/// A character, however it is written; of several backslashes without a gap, all of them.
#[derive(Clone, Copy)]
pub(super) struct Sign {
    pub(super) byte: u8,
    /// Where the next one is.
    pub(super) next: usize,
    /// How often it is encoded: 0 as it is.
    pub(super) depth: usize,
}

pub(super) fn byte<U: Unit>(text: &[U], at: usize) -> Option<u8> {
    text.get(at).map(|unit| unit.ascii())
}

/// Two hexadecimal digits.
fn code<U: Unit>(text: &[U], at: usize) -> Option<u8> {
    let digit = |at| byte(text, at).and_then(|byte| char::from(byte).to_digit(16));
    u8::try_from(digit(at)? * 16 + digit(at + 1)?).ok()
}

/// The character at a place.
pub(super) fn sign_at<U: Unit>(text: &[U], at: usize) -> Option<Sign> {
    let first = percent_at(text, at)?;
    if first.byte != b'\\' {
        return Some(first);
    }
    // Each string around doubles them, so that the sign of an escape may be many.
    let (next, count) = backslashes(text, at);
    Some(match escaped(text, next) {
        Some((byte, next)) => Sign { byte, next, depth: first.depth + 1 + count.max(1).ilog2() as usize },
        None => Sign { byte: b'\\', next, depth: first.depth },
    })
}

/// Where the backslashes end that stand at a place without a gap, and how many they are.
pub(super) fn backslashes<U: Unit>(text: &[U], at: usize) -> (usize, usize) {
    let (mut next, mut count) = (at, 0);
    while let Some(sign) = percent_at(text, next).filter(|sign| sign.byte == b'\\') {
        (next, count) = (sign.next, count + 1);
    }
    (next, count)
}

/// What stands behind the backslash of an escape.
fn escaped<U: Unit>(text: &[U], at: usize) -> Option<(u8, usize)> {
    let mut at = at;
    let mut code = 0;
    for wanted in [Some(b'u'), Some(b'0'), Some(b'0'), None, None] {
        let sign = percent_at(text, at)?;
        match wanted {
            Some(wanted) if wanted != sign.byte => return None,
            Some(_) => {}
            None => code = code * 16 + char::from(sign.byte).to_digit(16)?,
        }
        at = sign.next;
    }
    Some((u8::try_from(code).ok()?, at))
}

/// As it is or percent-encoded.
fn percent_at<U: Unit>(text: &[U], at: usize) -> Option<Sign> {
    let plain = byte(text, at)?;
    let itself = Sign { byte: plain, next: at + 1, depth: 0 };
    if plain != b'%' {
        return Some(itself);
    }
    let (mut place, mut depth) = (at + 1, 1);
    // The sign of an encoding that was encoded once more.
    while depth < DEPTH && code(text, place) == Some(b'%') && code(text, place + 2).is_some() {
        (place, depth) = (place + 2, depth + 1);
    }
    Some(code(text, place).map_or(itself, |byte| Sign { byte, next: place + 2, depth }))
}

/// The character right before a place, and where it is; the longer one if it can be read in several ways. Of backslashes
/// without a gap, one is enough.
pub(super) fn sign_before<U: Unit>(text: &[U], place: usize) -> Option<(u8, usize)> {
    (place.saturating_sub(WIDTH)..place).find_map(|at| {
        let sign = sign_at(text, at).filter(|sign| sign.next == place)?;
        Some((sign.byte, at))
    })
}
