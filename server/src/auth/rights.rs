//! What a token allows: a set of rights, written `append,read,disclose:internal`.
//!
//! `append` and `read` are for logs and for records alike. `read` shows which records there are, and all of them but the
//! values of their fields and attributes; `disclose` shows those too, up to a class. Not here: on which logs and tenants.

use core::fmt;
use core::str::FromStr;

use cairn_tree::record::class::Class;
use serde::{Deserialize, Serialize};

/// What the first token of a database or a tenant may do: bring records, and see again what everybody in an organisation
/// may see.
pub const PRODUCER_RIGHTS: &str = "append,read,disclose:internal";
/// What the second may do: see everything and change nothing. Whoever may see less can't tell what is withheld from what
/// is lost.
pub const AUDITOR_RIGHTS: &str = "read,disclose:secret";
/// What stands before the class in the right to see values.
const DISCLOSE: &str = "disclose:";

/// Something that a token lets its holder do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Append entries and records.
    Append,
    /// Read private logs, and records without values.
    Read,
    /// See the values of records that are of this class.
    Disclose(Class),
    /// See what operators see.
    Admin,
}

/// A set of rights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rights {
    append: bool,
    read: bool,
    /// The most confidential class whose values may be seen.
    disclose: Option<Class>,
    admin: bool,
}

/// A text that is no set of rights.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a right, or contradicts another; rights are append, read, admin, and one of disclose:public, \
     disclose:internal, disclose:restricted and disclose:secret, with commas between them"
)]
pub struct RightsError(String);

impl Rights {
    /// Whether `right` is among them.
    #[must_use]
    pub fn contains(self, right: Right) -> bool {
        match right {
            Right::Append => self.append,
            Right::Read => self.read,
            Right::Disclose(class) => self.disclose.is_some_and(|most| class <= most),
            Right::Admin => self.admin,
        }
    }

    fn words(self) -> impl Iterator<Item = String> {
        let word = |has: bool, word: &str| has.then(|| word.to_owned());
        let disclose = self.disclose.map(|class| format!("{DISCLOSE}{class}"));
        [word(self.append, "append"), word(self.read, "read"), disclose, word(self.admin, "admin")]
            .into_iter()
            .flatten()
    }
}

impl FromStr for Rights {
    type Err = RightsError;

    fn from_str(text: &str) -> Result<Self, RightsError> {
        let mut rights = Self::default();
        for word in text.split(',') {
            let class = word.strip_prefix(DISCLOSE).and_then(Class::from_name);
            match (word, class) {
                ("append", _) => rights.append = true,
                ("read", _) => rights.read = true,
                ("admin", _) => rights.admin = true,
                // Of two classes neither is meant more than the other.
                (_, Some(class)) if rights.disclose.is_none_or(|other| other == class) => {
                    rights.disclose = Some(class);
                }
                _ => return Err(RightsError(word.to_owned())),
            }
        }
        Ok(rights)
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().collect::<Vec<_>>().join(","))
    }
}

impl TryFrom<String> for Rights {
    type Error = RightsError;

    fn try_from(text: String) -> Result<Self, RightsError> {
        text.parse()
    }
}

impl From<Rights> for String {
    fn from(rights: Rights) -> Self {
        rights.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_parsed_not_guessed() {
        let bad = ["", "append,", "Append", "append read", "disclose", "disclose:", "disclose:all", "disclose:Secret"];
        for bad in bad.into_iter().chain(["disclose:public,disclose:secret"]) {
            assert!(bad.parse::<Rights>().is_err(), "{bad}");
        }
        let rights = "admin,disclose:secret,read,append,read".parse::<Rights>().unwrap();
        assert_eq!(rights.to_string(), "append,read,disclose:secret,admin");
    }

    #[test]
    fn a_class_covers_those_before_it_and_no_other_right() {
        for (number, most) in Class::ALL.into_iter().enumerate() {
            let rights = format!("disclose:{most}").parse::<Rights>().unwrap();
            let seen = Class::ALL.into_iter().filter(|class| rights.contains(Right::Disclose(*class))).count();
            assert_eq!(seen, number + 1, "{most}");
            assert!(![Right::Append, Right::Read, Right::Admin].into_iter().any(|right| rights.contains(right)));
        }
        let others = "append,read,admin".parse::<Rights>().unwrap();
        assert!(!others.contains(Right::Disclose(Class::Public)));
    }
}
