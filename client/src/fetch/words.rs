//! Words of others, made fit to be shown: a server's message must not steer a terminal or flood it.

use crate::bounds;

/// The text without control and direction characters, cut at a bound.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut shown: String =
        text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).take(bounds::SHOWN_CHARS).collect();
    if text.chars().nth(bounds::SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

fn steers(c: char) -> bool {
    // Bidirectional overrides and isolates can make a line read as another one.
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_floods_do_not_reach_the_terminal() {
        assert_eq!(
            shown("a\u{1b}[2Jb\nc\u{202e}d\u{61c}e\u{2028}"),
            "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}e\u{fffd}"
        );
        let long = "ä".repeat(bounds::SHOWN_CHARS + 1);
        assert_eq!(shown(&long).chars().count(), bounds::SHOWN_CHARS + 1);
        assert!(shown(&long).ends_with('…'));
    }
}
