//! Reading fixed-width fields off the front of a row, big-endian, without panicking on short ones.

use super::RowError;

/// The rest of a row that is being read.
pub(super) struct Fields<'a> {
    row: &'static str,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Starts at the front of `bytes` and checks the version byte.
    pub(super) fn open(row: &'static str, version: u8, bytes: &'a [u8]) -> Result<Self, RowError> {
        let mut fields = Self { row, rest: bytes };
        let [found] = fields.array()?;
        if found == version { Ok(fields) } else { Err(fields.error(format!("version {found}, not {version}"))) }
    }

    /// The same for a row of several versions; gives the one that it has.
    pub(super) fn open_any(row: &'static str, versions: &[u8], bytes: &'a [u8]) -> Result<(Self, u8), RowError> {
        let mut fields = Self { row, rest: bytes };
        let [found] = fields.array()?;
        if versions.contains(&found) {
            Ok((fields, found))
        } else {
            Err(fields.error(format!("version {found}, not one of {versions:?}")))
        }
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], RowError> {
        let (field, rest) = self.rest.split_first_chunk().ok_or_else(|| self.error("too short"))?;
        self.rest = rest;
        Ok(*field)
    }

    pub(super) fn u8(&mut self) -> Result<u8, RowError> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, RowError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, RowError> {
        self.array().map(u64::from_be_bytes)
    }

    /// The next `length` bytes.
    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8], RowError> {
        let (field, rest) = self.rest.split_at_checked(length).ok_or_else(|| self.error("too short"))?;
        self.rest = rest;
        Ok(field)
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// All that is left.
    pub(super) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// Checks that nothing is left.
    pub(super) fn end(self) -> Result<(), RowError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.error(format!("{} bytes too many", self.rest.len()))) }
    }

    pub(super) fn error(&self, problem: impl Into<String>) -> RowError {
        RowError::new(self.row, problem)
    }
}
