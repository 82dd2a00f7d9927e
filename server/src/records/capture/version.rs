//! Versions, as a persister configuration says which messages a mapping is for: `1.0`, `>=1.2 & <2`, `~1.1`, `1.x | 2.0.0`.
//!
//! A message's version is `RequestInfo.ver`; what is no version of three numbers (SemVer 2.0.0) counts as the one that
//! messages without a version have, as in DIGIT. Deliberately absent: hyphen ranges, and the order of pre-releases.

/// Three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version([u64; 3]);

/// Which versions are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRange {
    /// Any of these, of which all must hold.
    any: Vec<Vec<Bounds>>,
}

/// From one version, up to but without another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bounds {
    from: [u64; 3],
    to: Option<[u64; 3]>,
}

/// A text that names no versions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no versions; write 1.0, >=1.2 & <2, ~1.1, ^1 or 1.x | 2.0.0")]
pub struct VersionError(String);

impl Version {
    /// Reads three numbers, with whatever may stand behind them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let core = text.split(['-', '+']).next().unwrap_or_default();
        let mut parts = core.split('.').map(number);
        let (one, two, three) = (parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(Self([one, two, three]))
    }
}

/// A number without zeros in front.
fn number(text: &str) -> Option<u64> {
    let plain =
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

impl VersionRange {
    /// Reads a range.
    ///
    /// # Errors
    /// [`VersionError`].
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        let error = || VersionError(text.chars().take(64).collect());
        if text.len() > 256 {
            return Err(error());
        }
        let all = |part: &str| {
            let words = part.split(['&', ',']).flat_map(joined).collect::<Vec<_>>();
            if words.is_empty() { None } else { words.iter().map(|word| bounds(word)).collect::<Option<Vec<_>>>() }
        };
        let any: Option<Vec<_>> = text.split('|').filter(|part| !part.is_empty()).map(all).collect();
        any.filter(|any| !any.is_empty()).map(|any| Self { any }).ok_or_else(error)
    }

    /// Whether a version is meant.
    #[must_use]
    pub fn has(&self, Version(version): Version) -> bool {
        let within = |bounds: &Bounds| version >= bounds.from && bounds.to.is_none_or(|to| version < to);
        self.any.iter().any(|all| all.iter().all(within))
    }
}

/// Words, with an operator and its version as one.
fn joined(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match words.last_mut().filter(|last| last.ends_with(['>', '<', '=', '~', '^'])) {
            Some(last) => last.push_str(word),
            None => words.push(word.to_owned()),
        }
    }
    words
}

fn bounds(word: &str) -> Option<Bounds> {
    let operators = [">=", "<=", ">", "<", "=", "~", "^"];
    let operator = operators.into_iter().find(|operator| word.starts_with(operator)).unwrap_or_default();
    let text = word.strip_prefix(operator).unwrap_or(word);
    let mut numbers = Vec::new();
    let mut wild = false;
    for part in text.split('.') {
        if matches!(part, "*" | "x" | "X") {
            wild = true;
        } else {
            numbers.push(number(part).filter(|_| !wild)?);
        }
    }
    if numbers.len() > 3 {
        return None;
    }
    let at = |place: usize| numbers.get(place).copied().unwrap_or(0);
    let low = [at(0), at(1), at(2)];
    // One step up in the last number that is given, or in the one at this place.
    let up = |place: usize| match place {
        0 => [low[0].saturating_add(1), 0, 0],
        1 => [low[0], low[1].saturating_add(1), 0],
        _ => [low[0], low[1], low[2].saturating_add(1)],
    };
    let given = numbers.len();
    let upper = if given == 0 { None } else { Some(up(given - 1)) };
    let from_zero = |to| Some(Bounds { from: [0; 3], to });
    match operator {
        "" | "=" => Some(Bounds { from: low, to: upper }),
        ">=" => Some(Bounds { from: low, to: None }),
        ">" => Some(Bounds { from: upper?, to: None }),
        "<" => from_zero(Some(low)),
        "<=" => from_zero(upper),
        "~" => Some(Bounds { from: low, to: Some(up(given.checked_sub(1)?.min(1))) }),
        _ => {
            let first = numbers.iter().position(|number| *number > 0).unwrap_or(given.checked_sub(1)?);
            Some(Bounds { from: low, to: Some(up(first)) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_the_versions_that_they_name() {
        for (range, inside, outside) in [
            ("1.0", "1.0.0 1.0.9 1.0.1-rc", "1.1.0 0.9.9 2.0.0"),
            ("1", "1.0.0 1.9.0", "2.0.0 0.1.0"),
            ("1.0.0", "1.0.0", "1.0.1"),
            ("=1.2.3", "1.2.3", "1.2.4"),
            ("*", "0.0.0 9.9.9", ""),
            ("1.x", "1.0.0 1.7.0", "2.0.0"),
            (">=1.2 & <2", "1.2.0 1.9.9", "1.1.9 2.0.0"),
            (">= 1.2 < 2.0.0", "1.2.0", "2.0.0"),
            (">1", "2.0.0", "1.9.0"),
            ("<=1.1", "1.1.5 0.1.0", "1.2.0"),
            ("~1.1", "1.1.9", "1.2.0"),
            ("~1", "1.9.0", "2.0.0"),
            ("^1.2.3", "1.9.0", "1.2.2 2.0.0"),
            ("^0.2.3", "0.2.9", "0.3.0"),
            ("1.0 | 3.0 || 4.0", "1.0.0 3.0.0 4.0.1", "2.0.0"),
        ] {
            let range = VersionRange::parse(range).unwrap();
            let has = |version: &str| range.has(Version::parse(version).unwrap());
            assert!(inside.split_whitespace().all(has), "{range:?} {inside}");
            assert!(!outside.split_whitespace().any(has), "{range:?} {outside}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for bad in
            ["", "|", "v1", "1.0.0.0", "1..0", "x.1", ">", "1 - 2", "01.0", "1.0-rc", "^", "~*", "99999999999999999999"]
        {
            assert!(VersionRange::parse(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "1", "1.0", "1.0.0.0", ".01", "1.a.0", "01.0.0"] {
            assert_eq!(Version::parse(bad), None, "{bad:?}");
        }
        assert_eq!(Version::parse("1.2.3-a.b+c"), Some(Version([1, 2, 3])));
    }
}
