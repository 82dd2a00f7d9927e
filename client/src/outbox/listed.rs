//! Ids for people: the first few of them, and how many there are besides. Programs get them all.

use core::fmt;

use super::bounds;

/// Ids that are shown to people.
pub(crate) struct Listed<'l>(pub(crate) &'l [String]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.get(..bounds::SHOWN_IDS).unwrap_or(self.0);
        f.write_str(&shown.join(" "))?;
        match self.0.len() - shown.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more (--json lists all)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_ids_there_are_a_few_are_shown_and_the_others_counted() {
        let ids: Vec<String> = (0..10_000).map(|number| format!("id-{number}")).collect();
        let words = |count: usize| Listed(&ids[..count]).to_string();
        assert_eq!((words(0), words(2)), (String::new(), "id-0 id-1".to_owned()));
        assert_eq!(words(bounds::SHOWN_IDS), ids[..bounds::SHOWN_IDS].join(" "));
        let (all, few) = (words(10_000), words(bounds::SHOWN_IDS));
        assert_eq!(all, format!("{few} and {} more (--json lists all)", 10_000 - bounds::SHOWN_IDS));
    }
}
