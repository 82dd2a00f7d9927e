//! What requests about records say of themselves: why, for whom, in which trace. Where a tenant has its reads recorded, that
//! is on record with them; what is brought takes it into its context.
//!
//! Not here: the tenant, which stands in the query or in the record.

use cairn_tree::record::text::{Name, Prose, TextError, TraceParent, TraceState};
use cairn_tree::wire::header;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// What requests say of themselves. Each text is one that a record can have, and that fits in a header.
#[derive(Debug, Clone, Default)]
pub struct Said(HeaderMap);

/// What can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saying {
    /// Why it is asked, or brought.
    Purpose,
    /// The person for whom it is asked.
    Actor,
    /// The trace that it belongs to, in the words of those who have no trace context.
    TraceId,
    /// The same in W3C trace context.
    TraceParent,
    /// What goes with that.
    TraceState,
}

/// Why a text can't be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SaidError {
    /// No record can have it.
    #[error("{0}")]
    Text(#[from] TextError),
    /// It does not fit in a header.
    #[error("must stand on one line, with no white space at its ends")]
    Line,
}

impl Saying {
    const fn header(self) -> &'static str {
        match self {
            Self::Purpose => header::X_PURPOSE,
            Self::Actor => header::X_ACTOR,
            Self::TraceId => header::X_TRACE_ID,
            Self::TraceParent => header::TRACEPARENT,
            Self::TraceState => header::TRACESTATE,
        }
    }

    /// Checks that a record can have the text, as servers will.
    fn check(self, text: &str) -> Result<(), TextError> {
        match self {
            Self::Purpose => Prose::new(text).map(drop),
            Self::Actor | Self::TraceId => Name::new(text).map(drop),
            Self::TraceParent => TraceParent::new(text).map(drop),
            Self::TraceState => TraceState::new(text).map(drop),
        }
    }
}

impl Said {
    /// The same, with one thing more.
    ///
    /// # Errors
    /// [`SaidError`].
    pub fn with(mut self, saying: Saying, text: &str) -> Result<Self, SaidError> {
        saying.check(text)?;
        // HTTP would cut white space at the ends, and something else would be on record.
        if text.trim() != text {
            return Err(SaidError::Line);
        }
        let value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| SaidError::Line)?;
        self.0.insert(HeaderName::from_static(saying.header()), value);
        Ok(self)
    }

    pub(super) const fn headers(&self) -> &HeaderMap {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_record_can_have_is_not_said() {
        let said = |saying, text: &str| Said::default().with(saying, text).map(drop);
        for (saying, text) in [
            (Saying::Purpose, "complaint 12"),
            (Saying::Purpose, "Prüfung"),
            (Saying::Actor, "clerk:7"),
            (Saying::TraceParent, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            (Saying::TraceState, "vendor=1"),
        ] {
            assert_eq!(said(saying, text), Ok(()), "{text}");
        }
        assert_eq!(said(Saying::Purpose, "two\nlines"), Err(SaidError::Line));
        assert_eq!(said(Saying::Purpose, " why"), Err(SaidError::Line));
        for (saying, text) in [
            (Saying::Purpose, ""),
            (Saying::Actor, "two\nlines"),
            (Saying::TraceId, ""),
            (Saying::TraceParent, "00-0-0-01"),
            (Saying::TraceState, "é"),
        ] {
            assert!(matches!(said(saying, text), Err(SaidError::Text(_))), "{text}");
        }
    }
}
