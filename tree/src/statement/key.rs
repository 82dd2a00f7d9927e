//! A change of a log's keys (`cairn.key/1`), and following the changes from a key that is trusted.
//!
//! The statement is signed by the keys that sign before it, and by a new Ed25519 key too, which so shows that its holder
//! has it. From the entry on the log's heads carry a line by each key that is active then.

use serde::{Deserialize, Serialize};

use super::{
    Statement, StatementError, StatementVerifyError, canonical, check_keys, from_json, keys_of, origin, texts,
};
use crate::checkpoint::Origin;
use crate::note::{SignatureType, VerifierKey};
use crate::size::TreeSize;
use crate::statement::SignedStatement;
use crate::store::DatabaseId;

/// The largest number that canonical JSON can carry (RFC 8785, section 3.2.2.3).
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// What happens to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyChange {
    /// It signs from now on, beside the others.
    Active,
    /// It signs no more.
    Retired,
}

/// A key of the log begins or ceases to sign its heads.
///
/// Invariants: all keys are log keys named like the origin; an active one is new, a retired one was active; an Ed25519
/// key is among those before and those after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyStatement {
    origin: Origin,
    database: DatabaseId,
    first_size: TreeSize,
    key: VerifierKey,
    before: Vec<VerifierKey>,
    status: KeyChange,
}

/// The members stand in the order of their names, as canonical JSON wants them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    database: String,
    first_size: u64,
    key: String,
    keys: Vec<String>,
    origin: String,
    status: KeyChange,
}

impl KeyStatement {
    /// Says that `key` has `status` from now on. `before` are the keys that sign up to here, `first_size` is a size that
    /// the log has already: no head below it is changed by this.
    ///
    /// # Errors
    /// [`StatementError::Parts`] where the invariants do not hold.
    pub fn new(
        origin: Origin,
        database: DatabaseId,
        first_size: TreeSize,
        before: Vec<VerifierKey>,
        (key, status): (VerifierKey, KeyChange),
    ) -> Result<Self, StatementError> {
        check_keys(&origin, &before)?;
        if first_size.get() > MAX_NUMBER {
            return Err(StatementError::Parts("its size is past what JSON can carry"));
        }
        match (status, before.contains(&key)) {
            (KeyChange::Active, true) => return Err(StatementError::Parts("the new key signs already")),
            (KeyChange::Retired, false) => return Err(StatementError::Parts("the retired key did not sign")),
            _ => {}
        }
        let statement = Self { origin, database, first_size, key, before, status };
        check_keys(&statement.origin, &statement.after())?;
        Ok(statement)
    }

    /// The log.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The database that the log is in.
    #[must_use]
    pub const fn database(&self) -> DatabaseId {
        self.database
    }

    /// No head below this size is changed.
    #[must_use]
    pub const fn first_size(&self) -> TreeSize {
        self.first_size
    }

    /// The key that begins or ceases to sign.
    #[must_use]
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// Which of the two.
    #[must_use]
    pub const fn status(&self) -> KeyChange {
        self.status
    }

    /// The keys that sign before, oldest first.
    #[must_use]
    pub fn before(&self) -> &[VerifierKey] {
        &self.before
    }

    /// The keys that sign after, oldest first.
    #[must_use]
    pub fn after(&self) -> Vec<VerifierKey> {
        let kept = self.before.iter().filter(|key| **key != self.key).cloned();
        let new = (self.status == KeyChange::Active).then(|| self.key.clone());
        kept.chain(new).collect()
    }

    pub(super) fn to_json(&self) -> String {
        canonical(&Form {
            database: self.database.to_string(),
            first_size: self.first_size.get(),
            key: self.key.to_string(),
            keys: texts(&self.before),
            origin: self.origin.to_string(),
            status: self.status,
        })
    }

    pub(super) fn parse_json(json: &str) -> Result<Self, StatementError> {
        let form: Form = from_json(json)?;
        let of = origin(form.origin)?;
        let before = keys_of(&of, &form.keys)?;
        let key = form.key.parse().map_err(|error| StatementError::Json(format!("a vkey: {error}")))?;
        let size = TreeSize::new(form.first_size).map_err(|error| StatementError::Json(error.to_string()))?;
        Self::new(of, database(&form.database)?, size, before, (key, form.status))
    }
}

fn database(text: &str) -> Result<DatabaseId, StatementError> {
    let wrong = || StatementError::Json("a database id is 32 lower-case hexadecimal digits".to_owned());
    let number = u128::from_str_radix(text, 16).map_err(|_| wrong())?;
    let id = DatabaseId::new(number.to_be_bytes());
    if id.to_string() == text { Ok(id) } else { Err(wrong()) }
}

/// The keys of one log as its own statements lead to them, from keys that the user trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChain {
    active: Vec<VerifierKey>,
    known: Vec<VerifierKey>,
    /// Whether a statement was followed: then the active keys are all of them, not only those that the user named.
    followed: bool,
}

/// Why a statement does not follow those before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyChainError {
    /// It is not signed by a key that was active before it.
    #[error("a statement about a key is not signed by a key that was trusted before it: {0}")]
    Unsigned(#[from] StatementVerifyError),
    /// It is about something else.
    #[error("among the statements about keys is one about something else")]
    NoKeyStatement,
    /// It starts from other keys than those that the statement before led to.
    #[error("a statement about a key starts from other keys than the one before it led to; one of them is missing")]
    Gap,
}

impl KeyChain {
    /// Starts from keys that the user trusts; one is enough.
    #[must_use]
    pub fn new(trusted: Vec<VerifierKey>) -> Self {
        Self { active: trusted.clone(), known: trusted, followed: false }
    }

    /// Follows the statements of a log in the order of their entries. Those before the first that a trusted key has
    /// signed are of an older time than that key, and are passed over.
    ///
    /// # Errors
    /// [`KeyChainError`].
    pub fn follow_all<'a>(
        &mut self,
        statements: impl IntoIterator<Item = &'a SignedStatement>,
    ) -> Result<(), KeyChainError> {
        for signed in statements {
            match self.follow(signed) {
                Err(KeyChainError::Unsigned(StatementVerifyError::Note(crate::note::NoteVerifyError::NoKnownKey)))
                    if !self.followed => {}
                followed => followed?,
            }
        }
        Ok(())
    }

    /// Follows one statement.
    ///
    /// # Errors
    /// [`KeyChainError`].
    pub fn follow(&mut self, signed: &SignedStatement) -> Result<(), KeyChainError> {
        let (statement, _) = signed.verify(&self.active)?;
        let Statement::Key(statement) = statement else { return Err(KeyChainError::NoKeyStatement) };
        if self.followed && self.active != statement.before() {
            return Err(KeyChainError::Gap);
        }
        self.active = statement.after();
        for key in statement.before().iter().chain([statement.key()]) {
            if !self.known.contains(key) {
                self.known.push(key.clone());
            }
        }
        self.followed = true;
        Ok(())
    }

    /// The keys that sign now, as far as is known.
    #[must_use]
    pub fn active(&self) -> &[VerifierKey] {
        &self.active
    }

    /// These and those that signed before: for receipts of any time.
    #[must_use]
    pub fn known(&self) -> &[VerifierKey] {
        &self.known
    }

    /// Of the active keys, those that sign statements and checkpoints as notes (0x01).
    pub fn note_keys(&self) -> impl Iterator<Item = &VerifierKey> {
        self.active.iter().filter(|key| key.kind() == SignatureType::ED25519)
    }
}
