//! Why a message becomes no records, in words without anything of its content.

use super::path::Lost;

/// Why a message can't be mapped, or what it maps to not be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmapped {
    /// Why.
    pub reason: Reason,
    /// Which part of the configuration could not be followed, the outermost first.
    pub place: String,
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $slug:literal, $words:literal;)+) => {
        /// Why a message is quarantined. The list is closed: it stands in metrics and in records.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Reason { $($(#[doc = $doc])+ $name,)+ }

        impl Reason {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The short name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $slug,)+ }
            }

            /// In words.
            #[must_use]
            pub const fn words(self) -> &'static str {
                match self { $(Self::$name => $words,)+ }
            }
        }
    };
}

reasons! {
    /// The body can't be read.
    Unreadable = "unreadable", "the body is no message with a topic and a value, or no JSON that two readers understand alike";
    /// Its topic is not in the configuration.
    NoMapping = "no-mapping", "no mapping is for its topic";
    /// Its version is not.
    NoVersion = "no-version", "no mapping of its topic is for its version";
    /// Something is no object that must be one.
    NotAnObject = "not-an-object", "it, or an element that a row should be, is no object";
    /// Something that must be there is not.
    PathMissing = "path-missing", "a path of the mapping leads nowhere in it";
    /// The object's id or the tenant is not told.
    NoIdentity = "no-identity", "the id of its object, or the tenant, or a column that a row is known by, is no text and no number, or empty";
    /// A query of the mapping is not understood.
    QueryUnclear = "query-unclear", "a query of its mapping is not understood";
    /// It has more rows than a message may.
    TooMany = "too-many-rows", "it has more rows than one message may";
    /// It or its rows are too large.
    TooLarge = "too-large", "it is longer than a message may be, or its rows are larger than those of one message";
    /// Looking through it takes too long.
    Work = "too-much-work", "finding its rows takes more steps than one message may";
    /// A row is no record.
    NotARecord = "not-a-record", "a row of it can't be a record";
    /// The tenant is not there for the credential.
    NoTenant = "no-tenant", "a tenant of it is none that its credential is good for, or they have different logs";
    /// What it says was refused.
    Refused = "refused", "the log refuses what it says";
}

impl Reason {
    /// The reason of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.name() == name)
    }
}

impl Unmapped {
    /// A reason without a place.
    #[must_use]
    pub const fn of(reason: Reason) -> Self {
        Self { reason, place: String::new() }
    }

    /// The same, within a part of the configuration.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        let place = place.into();
        self.place = if self.place.is_empty() { place } else { format!("{place}, {}", self.place) };
        self
    }
}

impl From<Lost> for Unmapped {
    fn from(lost: Lost) -> Self {
        Self::of(match lost {
            Lost::Missing => Reason::PathMissing,
            Lost::Work => Reason::Work,
        })
    }
}

impl core::fmt::Display for Unmapped {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.reason.words())?;
        if self.place.is_empty() { Ok(()) } else { write!(f, " ({})", self.place) }
    }
}
