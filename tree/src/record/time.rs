//! Moments, to the microsecond: `2026-11-22T06:50:29.123456Z` (RFC 3339), always in UTC, always six digits, 27 characters.
//!
//! What is read from producers may have another offset, fewer digits or more; finer digits are cut, never rounded up, so
//! that no event moves into the future. Not here: a clock.

use core::fmt;

/// A moment from 1970 to 9999, in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

/// Why a text or a number is no moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// The text is not RFC 3339.
    #[error("a time is written as in RFC 3339, such as 2026-11-22T06:50:29.123456Z")]
    Text,
    /// Before 1970 or after 9999.
    #[error("a time is between the years 1970 and 9999")]
    Range,
    /// RFC 3339, but not the one text that is signed.
    #[error("a time that is signed is in UTC, with six digits of the second and a Z")]
    NotCanonical,
}

const MICROS: u64 = 1_000_000;
const DAY: u64 = 86_400;

impl Time {
    /// The latest moment, the end of the year 9999.
    pub const MAX: Self = Self(253_402_300_800 * MICROS - 1);
    /// The length of its text.
    pub const TEXT_LEN: usize = 27;

    /// A number of microseconds since the beginning of 1970.
    ///
    /// # Errors
    /// [`TimeError::Range`].
    pub const fn from_micros(micros: u64) -> Result<Self, TimeError> {
        if micros > Self::MAX.0 { Err(TimeError::Range) } else { Ok(Self(micros)) }
    }

    /// A number of milliseconds since the beginning of 1970.
    ///
    /// # Errors
    /// [`TimeError::Range`].
    pub const fn from_millis(millis: u64) -> Result<Self, TimeError> {
        match millis.checked_mul(1_000) {
            Some(micros) => Self::from_micros(micros),
            None => Err(TimeError::Range),
        }
    }

    /// Microseconds since the beginning of 1970.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the beginning of 1970.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0 / 1_000
    }

    /// Reads any text of RFC 3339, section 5.6. Digits after the sixth are cut. A leap second is the end of its minute.
    ///
    /// # Errors
    /// [`TimeError`].
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let bytes = text.as_bytes();
        let number = |range: core::ops::Range<usize>| {
            let digits = bytes.get(range).filter(|digits| digits.iter().all(u8::is_ascii_digit));
            digits.map(|digits| digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
        };
        let mark = |at: usize, wanted: &[u8]| bytes.get(at).is_some_and(|byte| wanted.contains(byte));
        let marks = mark(4, b"-") && mark(7, b"-") && mark(10, b"Tt") && mark(13, b":") && mark(16, b":");
        let all = [number(0..4), number(5..7), number(8..10), number(11..13), number(14..16), number(17..19)];
        let [Some(year), Some(month), Some(day), Some(hour), Some(minute), Some(second)] = all else {
            return Err(TimeError::Text);
        };
        if !marks || !is_date(year, month, day) || hour > 23 || minute > 59 || second > 60 {
            return Err(TimeError::Text);
        }
        // Nothing earlier is 1970 anywhere.
        if year < 1969 {
            return Err(TimeError::Range);
        }
        let rest = text.get(19..).ok_or(TimeError::Text)?;
        let (fraction, offset) = fraction(rest)?;
        let behind = offset_minutes(offset)?;
        let days = i64::try_from(days_before(year, month, day)).map_err(|_| TimeError::Range)?;
        let minutes = (days - EPOCH_DAYS) * 1_440 + i64::try_from(hour * 60 + minute).unwrap_or(0) - behind;
        let minutes = u64::try_from(minutes).map_err(|_| TimeError::Range)?;
        let within = match second {
            // Leap seconds end a day of UTC (RFC 3339, section 5.7).
            60 if minutes % 1_440 == 1_439 => 60 * MICROS - 1,
            60 => return Err(TimeError::Text),
            _ => second * MICROS + fraction,
        };
        Self::from_micros(minutes * 60 * MICROS + within)
    }

    /// Reads only what [`Time`] is written as.
    ///
    /// # Errors
    /// [`TimeError`].
    pub fn parse_canonical(text: &str) -> Result<Self, TimeError> {
        let time = Self::parse(text)?;
        if time.to_text() == text.as_bytes() { Ok(time) } else { Err(TimeError::NotCanonical) }
    }

    /// The text, in ASCII.
    #[must_use]
    pub fn to_text(self) -> [u8; Self::TEXT_LEN] {
        let (seconds, micros) = (self.0 / MICROS, self.0 % MICROS);
        let (days, second) = (seconds / DAY, seconds % DAY);
        let (year, month, day) = civil(days);
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        let parts = [
            (0, 4, year),
            (5, 2, month),
            (8, 2, day),
            (11, 2, second / 3_600),
            (14, 2, second / 60 % 60),
            (17, 2, second % 60),
            (20, 6, micros),
        ];
        for (at, width, mut number) in parts {
            for place in text.iter_mut().skip(at).take(width).rev() {
                *place = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        text
    }
}

/// The days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;

/// The days from 0000-03-01 to a date after it: with the year begun in March, the leap day is the last.
const fn days_before(year: u64, month: u64, day: u64) -> u64 {
    // January and February belong to the year before.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1
}

/// The date of a day since 1970.
const fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + EPOCH_DAYS as u64;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day)
}

const fn is_date(year: u64, month: u64, day: u64) -> bool {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => 0,
    };
    day >= 1 && day <= last
}

/// The microseconds of a fraction of a second, if there is one, and what follows.
fn fraction(rest: &str) -> Result<(u64, &str), TimeError> {
    let Some(after) = rest.strip_prefix('.') else { return Ok((0, rest)) };
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Err(TimeError::Text);
    }
    let padded = after.bytes().take(digits).chain(core::iter::repeat(b'0')).take(6);
    let micros = padded.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    Ok((micros, after.get(digits..).unwrap_or_default()))
}

/// The minutes that the local time is ahead of UTC.
fn offset_minutes(offset: &str) -> Result<i64, TimeError> {
    let (sign, digits) = match offset.as_bytes() {
        [b'Z' | b'z'] => return Ok(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return Err(TimeError::Text),
    };
    let [h1 @ b'0'..=b'9', h2 @ b'0'..=b'9', b':', m1 @ b'0'..=b'9', m2 @ b'0'..=b'9'] = digits else {
        return Err(TimeError::Text);
    };
    let two = |high: &u8, low: &u8| i64::from(high - b'0') * 10 + i64::from(low - b'0');
    let (hours, minutes) = (two(h1, h2), two(m1, m2));
    if hours > 23 || minutes > 59 { Err(TimeError::Text) } else { Ok(sign * (hours * 60 + minutes)) }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(core::str::from_utf8(&self.to_text()).unwrap_or_default())
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Time({self})")
    }
}
