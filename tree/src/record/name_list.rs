//! Lists of names with at least one in them, and a bound: a record's data subjects, a stream's topics.

use super::bounds::{MAX_SUBJECTS, MAX_TOPICS};
use super::json::canonical::push_string;
use super::json::{FaultKind, Read, Reader, Trouble};
use super::parts::PartError;
use super::text::Name;

macro_rules! name_lists {
    ($($(#[doc = $doc:literal])+ $list:ident, $max:ident;)+) => { $(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $list<'a>(Vec<Name<'a>>);

        impl<'a> $list<'a> {
            /// Checks the number of names.
            ///
            /// # Errors
            /// [`PartError`].
            pub fn new(names: Vec<Name<'a>>) -> Result<Self, PartError> {
                match names.len() {
                    0 => Err(PartError::Empty),
                    count if count > $max => Err(PartError::TooMany($max)),
                    _ => Ok(Self(names)),
                }
            }

            /// The names.
            #[must_use]
            pub fn names(&self) -> &[Name<'a>] {
                &self.0
            }

            pub(crate) fn read(reader: &mut Reader<'a>) -> Read<Self> {
                let at = reader.offset();
                let names = reader.list($max, Name::read)?;
                Self::new(names).map_err(|_| Trouble::new(at, FaultKind::Rule("must not be empty")))
            }

            pub(crate) fn push(&self, json: &mut Vec<u8>) {
                push_names(json, &self.0);
            }

            /// A copy that borrows nothing.
            #[must_use]
            pub fn into_owned(self) -> $list<'static> {
                $list(self.0.into_iter().map(Name::into_owned).collect())
            }
        }
    )+ };
}

name_lists! {
    /// The persons that the data is about: at least one.
    Subjects, MAX_SUBJECTS;
    /// What a stream can be searched by: at least one name.
    Topics, MAX_TOPICS;
}

/// Writes an array of names.
pub(super) fn push_names(json: &mut Vec<u8>, names: &[Name<'_>]) {
    json.push(b'[');
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        push_string(json, name.as_str());
    }
    json.push(b']');
}
