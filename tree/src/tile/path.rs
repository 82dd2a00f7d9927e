//! Paths of tiles and entry bundles: `tile/<L>/<N>[.p/<W>]` and `tile/entries/<N>[.p/<W>]` (C2SP tlog-tiles).
//!
//! Reads exactly what it writes. Not file names: integers are parsed out of a path and never joined to another.

use core::fmt;
use core::str::FromStr;

use super::coord::{BundleCoord, CoordError, TileCoord, Width};

/// The longest path there is: `tile/entries/` or `tile/<L>/`, the most groups of an index, and a width.
const MAX_LEN: usize = 64;
/// The largest level that C2SP lets a path have.
const MAX_WRITTEN_LEVEL: u8 = 63;

/// What a path means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TilePath {
    /// Hashes.
    Tile(TileCoord),
    /// Entries.
    Entries(BundleCoord),
}

/// Why a text is not the path of a tile or an entry bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It is longer than any path.
    #[error("a tile path has at most {MAX_LEN} bytes, not {0}")]
    Length(usize),
    /// It is not `tile/<L>/<N>[.p/<W>]` or `tile/entries/<N>[.p/<W>]`.
    #[error("not the path of a tile or an entry bundle")]
    Form,
    /// The level is not a decimal number from 0 to 63 without leading zeros.
    #[error("a tile's level must be 0 to 63, without leading zeros")]
    Level,
    /// The index is not in groups of three digits, all but the last marked with `x`, the first not zero if there are more.
    #[error("a tile's index must be groups of three digits, like x001/x234/067")]
    Index,
    /// The width of a partial tile is not a decimal number from 1 to 255 without leading zeros.
    #[error("a partial tile's width must be 1 to 255, without leading zeros")]
    Width,
    /// It is well written, but no tree has that tile.
    #[error(transparent)]
    Coord(#[from] CoordError),
}

impl FromStr for TilePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        if text.len() > MAX_LEN {
            return Err(PathError::Length(text.len()));
        }
        let (kind, place) = text.strip_prefix("tile/").and_then(|rest| rest.split_once('/')).ok_or(PathError::Form)?;
        let (index, width) = match place.split_once(".p/") {
            Some((index, width)) => (index, partial_width(width)?),
            None => (place, Width::FULL),
        };
        let index = grouped_index(index)?;
        if kind == "entries" {
            return Ok(Self::Entries(BundleCoord::new(index, width)?));
        }
        let level = canonical_decimal(kind)
            .and_then(|level| u8::try_from(level).ok())
            .filter(|level| *level <= MAX_WRITTEN_LEVEL)
            .ok_or(PathError::Level)?;
        Ok(Self::Tile(TileCoord::new(level, index, width)?))
    }
}

fn partial_width(text: &str) -> Result<Width, PathError> {
    let width = canonical_decimal(text).and_then(|width| Width::new(width).ok()).ok_or(PathError::Width)?;
    if width.is_full() { Err(PathError::Width) } else { Ok(width) }
}

fn canonical_decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    if text.is_empty() || !canonical || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn grouped_index(text: &str) -> Result<u64, PathError> {
    let mut index: u64 = 0;
    let mut groups = text.split('/').peekable();
    // A first group of zeros would be left out by the writer, unless it is the only one.
    if groups.peek() == Some(&"x000") {
        return Err(PathError::Index);
    }
    while let Some(group) = groups.next() {
        let digits = match groups.peek() {
            Some(_) => group.strip_prefix('x').ok_or(PathError::Index)?,
            None => group,
        };
        if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PathError::Index);
        }
        let digits: u64 = digits.parse().map_err(|_| PathError::Index)?;
        index = index.checked_mul(1000).and_then(|index| index.checked_add(digits)).ok_or(PathError::Index)?;
    }
    Ok(index)
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tile(tile) => tile.fmt(f),
            Self::Entries(bundle) => bundle.fmt(f),
        }
    }
}

/// The path below the log's prefix.
impl fmt::Display for TileCoord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.level())?;
        write_place(f, self.index(), self.width())
    }
}

/// The path below the log's prefix.
impl fmt::Display for BundleCoord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tile/entries/")?;
        write_place(f, self.index(), self.width())
    }
}

fn write_place(f: &mut fmt::Formatter<'_>, index: u64, width: Width) -> fmt::Result {
    let mut unit = 1000_u64.pow(index.checked_ilog(1000).unwrap_or(0));
    while unit > 1 {
        write!(f, "x{:03}/", index / unit % 1000)?;
        unit /= 1000;
    }
    write!(f, "{:03}", index % 1000)?;
    if width.is_full() { Ok(()) } else { write!(f, ".p/{}", width.get()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_as_the_specification_shows_and_read_back() {
        let tile =
            |level, index, width| TilePath::Tile(TileCoord::new(level, index, Width::new(width).unwrap()).unwrap());
        let entries = |index, width| TilePath::Entries(BundleCoord::new(index, Width::new(width).unwrap()).unwrap());
        for (path, text) in [
            (tile(0, 0, 256), "tile/0/000"),
            (tile(0, 273, 112), "tile/0/273.p/112"),
            (tile(1, 999, 256), "tile/1/999"),
            (tile(2, 1_000, 1), "tile/2/x001/000.p/1"),
            (tile(3, 1_234_067, 255), "tile/3/x001/x234/067.p/255"),
            (tile(0, (1 << 55) - 1, 255), "tile/0/x036/x028/x797/x018/x963/967.p/255"),
            (tile(7, 0, 127), "tile/7/000.p/127"),
            (entries(1_234_067, 256), "tile/entries/x001/x234/067"),
            (entries(0, 9), "tile/entries/000.p/9"),
        ] {
            assert_eq!(path.to_string(), text);
            assert_eq!(text.parse(), Ok(path));
        }
    }

    #[test]
    fn everything_else_is_refused_with_its_reason() {
        use PathError::{Form, Index, Length, Level, Width};
        for (text, reason) in [
            ("", Form),
            ("tile", Form),
            ("tile/", Form),
            ("tile/0", Form),
            ("/tile/0/000", Form),
            ("Tile/0/000", Form),
            ("checkpoint", Form),
            ("tile//000", Level),
            ("tile/00/000", Level),
            ("tile/01/000", Level),
            ("tile/+1/000", Level),
            ("tile/-1/000", Level),
            ("tile/64/000", Level),
            ("tile/256/000", Level),
            ("tile/99999999999999999999/000", Level),
            ("tile/data/000", Level),
            ("tile/Entries/000", Level),
            ("tile/../000", Level),
            ("tile/0/", Index),
            ("tile/0/0", Index),
            ("tile/0/00", Index),
            ("tile/0/0000", Index),
            ("tile/0/x000", Index),
            ("tile/0/x000/001", Index),
            ("tile/0/x001/x000", Index),
            ("tile/0/001/000", Index),
            ("tile/0/x001//000", Index),
            ("tile/0/xx01/000", Index),
            ("tile/0/X001/000", Index),
            ("tile/0/x001/0\u{660}", Index),
            ("tile/0/../../etc", Index),
            ("tile/0/000/", Index),
            ("tile/0/000 ", Index),
            ("tile/0/000\0", Index),
            ("tile/0/+00", Index),
            ("tile/0/000.p", Index),
            ("tile/0/x018/x446/x744/x073/x709/x551/616", Index),
            ("tile/entries/", Index),
            ("tile/0/000.p/", Width),
            ("tile/0/000.p/0", Width),
            ("tile/0/000.p/01", Width),
            ("tile/0/000.p/256", Width),
            ("tile/0/000.p/1.p/1", Width),
            ("tile/0/000.p/1/", Width),
            ("tile/entries/000.p/-1", Width),
            ("tile/8/000", CoordError::NoSuchTile { level: 8, index: 0 }.into()),
            ("tile/63/000.p/1", CoordError::NoSuchTile { level: 63, index: 0 }.into()),
            ("tile/7/000", CoordError::NoSuchTile { level: 7, index: 0 }.into()),
            ("tile/entries/x036/x028/x797/x018/x963/967", CoordError::NoSuchBundle((1 << 55) - 1).into()),
        ] {
            assert_eq!(text.parse::<TilePath>(), Err(reason), "{text:?}");
        }
        assert_eq!("x".repeat(65).parse::<TilePath>(), Err(Length(65)));
    }
}
