//! Content negotiation: which of the offered forms a caller likes best (RFC 9110, sections 12.5.1 and 12.5.3).

use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, HeaderName};

use super::problem::{Kind, Problem};

/// Qualities are thousandths.
const FULL: u16 = 1_000;
/// Ranges of one header that are looked at.
const RANGES: usize = 32;

/// The media type among `offers` that the caller likes best; the first of them if it does not care.
pub(crate) fn media_type(headers: &HeaderMap, offers: &[&'static str]) -> Result<&'static str, Problem> {
    let Some(first) = offers.first().copied() else { return Err(Problem::internal("a route offers no media type")) };
    if !headers.contains_key(ACCEPT) {
        return Ok(first);
    }
    let mut best = (0, first);
    for offer in offers {
        let quality = ranges(headers, &ACCEPT)
            .filter_map(|(range, quality)| specificity(range, offer).map(|specific| (specific, quality)))
            .max_by_key(|(specific, _)| *specific)
            .map_or(0, |(_, quality)| quality);
        if quality > best.0 {
            best = (quality, offer);
        }
    }
    if best.0 > 0 {
        return Ok(best.1);
    }
    let value = headers.get(ACCEPT).map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default();
    let detail = "accept: none of these types is offered here";
    Err(Problem::new(Kind::NotAcceptable, detail).field("accept").value(value).bound(offers.join(", ")))
}

/// How exactly a range names a type: `*/*` less than `text/*` less than `text/plain`.
fn specificity(range: &str, offer: &str) -> Option<u8> {
    if range.eq_ignore_ascii_case(offer) {
        return Some(2);
    }
    let (kind, sub) = range.split_once('/')?;
    match (kind, sub) {
        ("*", "*") => Some(0),
        (kind, "*") => offer.split('/').next().is_some_and(|own| own.eq_ignore_ascii_case(kind)).then_some(1),
        _ => None,
    }
}

/// A compression that bundles are served in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Zstd,
}

/// The coding that the caller likes best, zstd before gzip where it likes both the same.
pub(crate) fn coding(headers: &HeaderMap) -> Coding {
    if !headers.contains_key(ACCEPT_ENCODING) {
        return Coding::Identity;
    }
    let quality = |name: &str| {
        let named = ranges(headers, &ACCEPT_ENCODING).find(|(range, _)| range.eq_ignore_ascii_case(name));
        named.map_or(0, |(_, quality)| quality)
    };
    match (quality("gzip"), quality("zstd")) {
        (0, 0) => Coding::Identity,
        (gzip, zstd) if zstd >= gzip => Coding::Zstd,
        _ => Coding::Gzip,
    }
}

fn ranges<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = (&'a str, u16)> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).take(RANGES).map(|part| {
        let mut pieces = part.split(';').map(str::trim);
        let range = pieces.next().unwrap_or_default();
        let quality = pieces.find_map(|piece| piece.strip_prefix("q=").or_else(|| piece.strip_prefix("Q=")));
        (range, quality.map_or(FULL, parse_quality))
    })
}

/// Reads `0`, `1`, `0.5`; what is not a quality counts as none.
fn parse_quality(text: &str) -> u16 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    match (whole, digits) {
        ("1", true) => FULL,
        ("0", true) => format!("{fraction:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const OFFERS: [&str; 3] = ["application/octet-stream", "application/json", "text/plain"];

    fn accept(value: &'static str) -> Result<&'static str, Kind> {
        let headers = [(ACCEPT, HeaderValue::from_static(value))].into_iter().collect();
        media_type(&headers, &OFFERS).map_err(|problem| problem.kind())
    }

    #[test]
    fn the_most_liked_type_wins_and_the_first_breaks_ties() {
        assert_eq!(media_type(&HeaderMap::new(), &OFFERS).unwrap(), OFFERS[0]);
        assert_eq!(accept("*/*"), Ok(OFFERS[0]));
        assert_eq!(accept("application/json"), Ok(OFFERS[1]));
        assert_eq!(accept("text/*;q=0.2, application/json;q=0.9"), Ok(OFFERS[1]));
        assert_eq!(accept("text/plain, */*;q=0.1"), Ok(OFFERS[2]));
        assert_eq!(accept("application/*;q=0.5, application/octet-stream;q=0"), Ok(OFFERS[1]));
        assert_eq!(accept("image/png"), Err(Kind::NotAcceptable));
        assert_eq!(accept("application/json;q=x"), Err(Kind::NotAcceptable));
    }

    #[test]
    fn codings_follow_their_quality() {
        let of =
            |value: &'static str| coding(&[(ACCEPT_ENCODING, HeaderValue::from_static(value))].into_iter().collect());
        assert_eq!(of("gzip, deflate, br, zstd"), Coding::Zstd);
        assert_eq!(of("gzip;q=1.0, zstd;q=0.5"), Coding::Gzip);
        assert_eq!(of("zstd;q=0, gzip"), Coding::Gzip);
        assert_eq!(of("br"), Coding::Identity);
        assert_eq!(coding(&HeaderMap::new()), Coding::Identity);
    }
}
