//! What else a record says: free attributes by name, and digests of data that is kept elsewhere. Each is disclosed by
//! itself, under its class.

use super::bounds::{MAX_ATTRIBUTES, MAX_EXTERNAL, MAX_INTEGER};
use super::class::{Class, Classed};
use super::json::canonical::{push_integer, push_string};
use super::json::{FaultKind, Json, Read, Reader, Trouble};
use super::text::{Name, push_name};
use super::value::{self, ValueError};

/// Attributes and external digests, at least one of them; `A` and `E` are an attribute's value and an [`External`], or what
/// was shown of them.
///
/// Invariants: the attributes are in the order of their names, and the external digests in that of their classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes<'a, A = Json<'a>, E = External<'a>> {
    named: Vec<(Name<'a>, Classed<A>)>,
    external: Vec<Classed<E>>,
}

/// The digest of data that is kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct External<'a> {
    name: Name<'a>,
    size: u64,
    media_type: Option<Name<'a>>,
    sha256: [u8; 32],
}

/// Why attributes can't be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttributesError {
    /// Neither an attribute nor an external digest.
    #[error("there must be an attribute or an external digest")]
    Empty,
    /// More of them than there may be.
    #[error("more than {MAX_ATTRIBUTES} attributes, or more than {MAX_EXTERNAL} external digests")]
    TooMany,
    /// A value is too long or too deep.
    #[error("the attribute {name:?} is {error}")]
    Value {
        /// The attribute's name.
        name: String,
        /// What is wrong.
        error: ValueError,
    },
    /// A name stands twice.
    #[error("the attribute {0:?} stands twice")]
    Twice(String),
    /// Two external digests have the same name.
    #[error("the external digest {0:?} stands twice")]
    ExternalTwice(String),
    /// Data larger than JSON can say.
    #[error("a size is at most 2^53 - 1")]
    Size,
}

impl<'a, A, E> Attributes<'a, A, E> {
    /// Checks what holds whether or not they are shown.
    pub(super) fn check(
        mut named: Vec<(Name<'a>, Classed<A>)>,
        mut external: Vec<Classed<E>>,
    ) -> Result<Self, AttributesError> {
        if named.is_empty() && external.is_empty() {
            return Err(AttributesError::Empty);
        }
        if named.len() > MAX_ATTRIBUTES || external.len() > MAX_EXTERNAL {
            return Err(AttributesError::TooMany);
        }
        // Those of one class stay in the order in which they were given.
        external.sort_by_key(|one| one.class);
        named.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut pairs = named.iter().zip(named.iter().skip(1));
        match pairs.find(|((one, _), (other, _))| one == other) {
            Some(((name, _), _)) => Err(AttributesError::Twice(name.as_str().to_owned())),
            None => Ok(Self { named, external }),
        }
    }

    /// Checks that no two external digests that are shown have the same name.
    pub(super) fn distinct(
        self,
        shown: impl for<'e> Fn(&'e E) -> Option<&'e External<'a>>,
    ) -> Result<Self, AttributesError> {
        let mut names: Vec<&Name<'a>> =
            self.external.iter().filter_map(|one| shown(&one.content)).map(External::name).collect();
        names.sort_unstable();
        let twice = names.iter().zip(names.iter().skip(1)).find(|(one, other)| one == other);
        match twice.map(|(name, _)| name.as_str().to_owned()) {
            Some(name) => Err(AttributesError::ExternalTwice(name)),
            None => Ok(self),
        }
    }

    /// The attributes, in the order of their names.
    #[must_use]
    pub fn named(&self) -> &[(Name<'a>, Classed<A>)] {
        &self.named
    }

    /// The external digests, in the order of their classes.
    #[must_use]
    pub fn external(&self) -> &[Classed<E>] {
        &self.external
    }
}

impl<'a> Attributes<'a> {
    /// Checks number, names and sizes.
    ///
    /// # Errors
    /// [`AttributesError`].
    pub fn new(
        named: Vec<(Name<'a>, Classed<Json<'a>>)>,
        external: Vec<Classed<External<'a>>>,
    ) -> Result<Self, AttributesError> {
        for (name, attribute) in &named {
            let wrong = |error| AttributesError::Value { name: name.as_str().to_owned(), error };
            value::check(&attribute.content).map_err(wrong)?;
        }
        Self::check(named, external)?.distinct(|external| Some(external))
    }
}

impl<'a> External<'a> {
    /// The SHA-256 of so many bytes, with a name such as a file's.
    ///
    /// # Errors
    /// [`AttributesError::Size`].
    pub fn new(
        name: Name<'a>,
        size: u64,
        sha256: [u8; 32],
        media_type: Option<Name<'a>>,
    ) -> Result<Self, AttributesError> {
        if size > MAX_INTEGER {
            return Err(AttributesError::Size);
        }
        Ok(Self { name, size, media_type, sha256 })
    }

    /// The data's name.
    #[must_use]
    pub const fn name(&self) -> &Name<'a> {
        &self.name
    }

    /// The number of bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// What kind of data it is.
    #[must_use]
    pub const fn media_type(&self) -> Option<&Name<'a>> {
        self.media_type.as_ref()
    }

    /// The SHA-256 of the bytes.
    #[must_use]
    pub const fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// The same as 64 hexadecimal digits.
    #[must_use]
    pub fn sha256_text(&self) -> String {
        crate::hash::Hash::new(self.sha256).to_string()
    }

    pub(super) fn push(&self, json: &mut Vec<u8>) {
        json.push(b'{');
        if let Some(media_type) = &self.media_type {
            media_type.push_member(json, "media_type");
        }
        self.name.push_member(json, "name");
        push_name(json, "sha256");
        push_string(json, &self.sha256_text());
        push_name(json, "size");
        push_integer(json, self.size);
        json.push(b'}');
    }

    /// Reads what is disclosed of one.
    pub(super) fn read(reader: &mut Reader<'a>) -> Read<Self> {
        Self::read_members(reader, None)
    }

    /// Reads one in a request, where its class may be a member of it.
    pub(crate) fn read_brought(reader: &mut Reader<'a>) -> Read<(Option<Class>, Self)> {
        let mut class = None;
        let content = Self::read_members(reader, Some(&mut class))?;
        Ok((class, content))
    }

    fn read_members(reader: &mut Reader<'a>, mut class: Option<&mut Option<Class>>) -> Read<Self> {
        let start = reader.offset();
        let (mut name, mut size, mut media_type, mut sha256) = (None, None, None, None);
        reader.object(8, |reader, member, at| {
            match (&*member, &mut class) {
                ("class", Some(class)) => **class = Some(Class::read(reader)?),
                ("name", _) => name = Some(Name::read(reader)?),
                ("size", _) => size = Some(reader.integer()?),
                ("media_type", _) => media_type = Some(Name::read(reader)?),
                ("sha256", _) => {
                    let at = reader.offset();
                    let hash: Option<crate::hash::Hash> = reader.string()?.parse().ok();
                    let rule = FaultKind::Rule("must be 64 lower-case hexadecimal digits");
                    sha256 = Some(*hash.ok_or(Trouble::new(at, rule))?.as_bytes());
                }
                _ => return Err(Trouble::new(at, FaultKind::Unknown)),
            }
            Ok(())
        })?;
        let missing = |name| move || Trouble::missing(start, name);
        Ok(Self {
            name: name.ok_or_else(missing("name"))?,
            size: size.ok_or_else(missing("size"))?,
            media_type,
            sha256: sha256.ok_or_else(missing("sha256"))?,
        })
    }

    /// A copy that borrows nothing.
    #[must_use]
    pub fn into_owned(self) -> External<'static> {
        External {
            name: self.name.into_owned(),
            size: self.size,
            media_type: self.media_type.map(Name::into_owned),
            sha256: self.sha256,
        }
    }
}
