//! Request ids: taken over from `X-Request-Id`, else the trace id of `traceparent` (W3C Trace Context), else made here.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::limits::REQUEST_ID_BYTES;

/// The header that carries the id, in and out.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: &str = "traceparent";

/// Makes ids that are unique over restarts: random bits of the process, then a count.
#[derive(Debug)]
pub(crate) struct RequestIds {
    process: u64,
    count: AtomicU64,
}

impl RequestIds {
    pub(crate) const fn new(random: u64) -> Self {
        Self { process: random, count: AtomicU64::new(0) }
    }

    /// The id of a request with these headers.
    pub(crate) fn of(&self, headers: &HeaderMap) -> HeaderValue {
        taken_over(headers).unwrap_or_else(|| self.fresh())
    }

    fn fresh(&self) -> HeaderValue {
        let number = u128::from(self.process) << 64 | u128::from(self.count.fetch_add(1, Relaxed));
        let mut text = [0; 32];
        for (place, digit) in text.iter_mut().enumerate() {
            let value = (number >> (124 - 4 * place)) as u8 & 0xf;
            *digit = if value < 10 { b'0' + value } else { b'a' + value - 10 };
        }
        // Hexadecimal digits are a header value.
        HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("-"))
    }
}

fn taken_over(headers: &HeaderMap) -> Option<HeaderValue> {
    if let Some(given) = headers.get(X_REQUEST_ID) {
        let bytes = given.as_bytes();
        let usable = (1..=REQUEST_ID_BYTES).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
        if usable {
            return Some(given.clone());
        }
    }
    HeaderValue::from_str(trace_id(headers)?).ok()
}

/// The trace id of a `traceparent` header: version, trace id, parent id and flags, in lower-case hexadecimal digits.
pub(crate) fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(TRACEPARENT)?.to_str().ok()?;
    let mut parts = text.split('-');
    let mut hex = |digits: usize| {
        parts
            .next()
            .filter(|part| part.len() == digits && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
    };
    let (version, trace, parent, _flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    let complete = version != "ff" && (version != "00" || parts.next().is_none());
    (complete && !zero(trace) && !zero(parent)).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &'static str, value: &'static str) -> String {
        let headers = [(HeaderName::from_static(name), HeaderValue::from_static(value))].into_iter().collect();
        RequestIds::new(0xabc).of(&headers).to_str().unwrap().to_owned()
    }

    #[test]
    fn ids_are_taken_over_if_usable_and_else_made() {
        let made = "0000000000000abc0000000000000000";
        assert_eq!(id("x-request-id", "job-7/3"), "job-7/3");
        assert_eq!(id("x-request-id", "two words"), made);
        assert_eq!(id("x-request-id", ""), made);
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(id("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), trace);
        assert_eq!(id("traceparent", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"), made);
        assert_eq!(id("traceparent", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"), made);
        assert_eq!(id("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x"), made);
    }
}
