//! The keys that a monitor takes for a log's: those that it was given, and those that the log's own statements lead to.
//!
//! A monitor adopts a key by itself only along such statements (`cairn_tree::statement`): each is signed by a key that was
//! trusted before it and stands in the tree, so that whoever holds none of the trusted keys can't bring in another one. It
//! gives nothing away: who holds a trusted key can sign heads as well. What only its operator can give is any other first
//! key; and he should give the new one in time, for a key that he goes on giving is trusted at every start.
//!
//! A key that a statement retires vouches for old trees and for no later ones: whoever gets hold of it afterwards must not
//! speak for the log. For the same reason statements that were followed once are held to. A log that shows others later, as
//! a thief of a retired key would, is not followed.

use cairn_tree::checkpoint::{AvowedCheckpoint, LogKeys, SignedCheckpoint, VerifiedCheckpoint};
use cairn_tree::note::VerifierKey;
use cairn_tree::size::LeafIndex;
use cairn_tree::statement::{KeyChange, SignedStatement, Statement};
use cairn_tree::wire::keys::StatementAnswer;

use crate::auditor::{AuditError, HeadFault, follow_statements};
use crate::bounds;

/// The keys of one log.
///
/// Invariant: `statements` lead from `given` to all that is in `all` beside those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyring {
    given: LogKeys,
    statements: Vec<StatementAnswer>,
    all: LogKeys,
    active: Vec<VerifierKey>,
    retired: Vec<Retired>,
}

/// A key that signs no more.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Retired {
    key: VerifierKey,
    /// The entry that says so: it signs no tree that has it.
    at: LeafIndex,
}

impl From<LogKeys> for Keyring {
    fn from(given: LogKeys) -> Self {
        let (all, active) = (given.clone(), given.as_slice().to_vec());
        Self { given, statements: Vec::new(), all, active, retired: Vec::new() }
    }
}

impl Keyring {
    /// The keys that the user gave.
    #[must_use]
    pub const fn given(&self) -> &LogKeys {
        &self.given
    }

    /// All keys that heads are verified with, retired ones included: those vouch for old heads.
    #[must_use]
    pub const fn all(&self) -> &LogKeys {
        &self.all
    }

    /// The keys that sign now, as far as is known.
    #[must_use]
    pub fn active(&self) -> &[VerifierKey] {
        &self.active
    }

    /// What was followed.
    #[must_use]
    pub fn statements(&self) -> &[StatementAnswer] {
        &self.statements
    }

    /// Follows the log's statements, in the order of their entries, from the keys that were given. That they are entries
    /// of the log is for the caller to see.
    ///
    /// # Errors
    /// [`AuditError::Keys`] if they don't follow each other, are not those that were followed before and further ones, or
    /// are more than a monitor takes in by itself.
    pub fn follow(&self, statements: Vec<StatementAnswer>) -> Result<Self, AuditError> {
        let refused = |why: &str| AuditError::Keys(why.to_owned());
        if !statements.starts_with(&self.statements) {
            return Err(refused("the log shows other statements than it has shown before"));
        }
        let bytes: usize = statements.iter().map(|answer| answer.statement.len()).sum();
        if statements.len() > bounds::FOLLOWED_STATEMENTS || bytes > bounds::FOLLOWED_BYTES {
            return Err(refused("there are more statements than are followed without being asked to"));
        }
        let chain = follow_statements(&self.given, &statements)?;
        // Those that sign now go first, if there is no room for all.
        let all = self.given.clone().with_further(chain.active().iter().chain(chain.known()));
        if chain.active().iter().any(|key| !all.as_slice().contains(key)) {
            return Err(refused("the log has had more keys than are followed without being asked to"));
        }
        let mut retired: Vec<Retired> = Vec::new();
        for answer in &statements {
            if let Ok(signed) = SignedStatement::parse(answer.statement.as_bytes())
                && let Statement::Key(statement) = signed.unverified()
                && statement.status() == KeyChange::Retired
                && chain.known().contains(statement.key())
                && !chain.active().contains(statement.key())
            {
                retired.retain(|earlier| earlier.key != *statement.key());
                retired.push(Retired { key: statement.key().clone(), at: answer.index });
            }
        }
        Ok(Self { given: self.given.clone(), statements, all, active: chain.active().to_vec(), retired })
    }

    /// Verifies a head: a key has signed it that could, and none wrongly.
    ///
    /// # Errors
    /// [`HeadFault`].
    pub fn verify(&self, served: &SignedCheckpoint) -> Result<VerifiedCheckpoint, HeadFault> {
        let head = self.all.verify(served)?;
        match self.retired_before(&head) {
            Some(key) => Err(HeadFault::Retired(key.name().clone(), key.id())),
            None => Ok(head),
        }
    }

    /// Whether a key has signed a head that could.
    #[must_use]
    pub fn speaks_for_the_log(&self, head: &impl AsRef<AvowedCheckpoint>) -> bool {
        self.retired_before(head).is_none()
    }

    /// One of the keys that signed a head, if all of them had been retired before.
    fn retired_before(&self, head: &impl AsRef<AvowedCheckpoint>) -> Option<&VerifierKey> {
        let head = head.as_ref();
        let signed_too_late = |key: &VerifierKey| {
            self.retired.iter().find(|retired| retired.key == *key && retired.at.get() < head.size().get())
        };
        let late: Option<Vec<_>> = head.keys().iter().map(signed_too_late).collect();
        late?.first().map(|retired| &retired.key)
    }
}

#[cfg(test)]
mod tests {
    use cairn_tree::checkpoint::{Checkpoint, Origin};
    use cairn_tree::hash::Hash;
    use cairn_tree::note::{SignatureType, SignerKey};
    use cairn_tree::size::TreeSize;
    use cairn_tree::statement::KeyStatement;
    use cairn_tree::store::DatabaseId;

    use super::*;

    const ORIGIN: &str = "log.example";

    fn key(seed: u8) -> SignerKey {
        SignerKey::from_seed(ORIGIN.parse().unwrap(), SignatureType::ED25519, &[seed; 32]).unwrap()
    }

    fn vkey(seed: u8) -> VerifierKey {
        key(seed).verifier_key().clone()
    }

    fn given(seeds: &[u8]) -> Keyring {
        LogKeys::new(seeds.iter().map(|&seed| vkey(seed)).collect()).unwrap().into()
    }

    /// At this index the log with the keys `before` says that this one begins or ceases to sign.
    fn statement(index: u64, before: &[u8], (seed, status): (u8, KeyChange), by: &[u8]) -> StatementAnswer {
        let before = before.iter().map(|&seed| vkey(seed)).collect();
        let origin = Origin::new(ORIGIN).unwrap();
        let database = DatabaseId::new([7; 16]);
        let first_size = TreeSize::new(index).unwrap();
        let statement = KeyStatement::new(origin, database, first_size, before, (vkey(seed), status)).unwrap();
        let by: Vec<SignerKey> = by.iter().map(|&seed| key(seed)).collect();
        let signed = Statement::Key(statement).sign(&by.iter().collect::<Vec<_>>()).unwrap();
        StatementAnswer { index: LeafIndex::new(index).unwrap(), statement: signed.encode() }
    }

    /// The second key takes the first one's place.
    fn rotation() -> Vec<StatementAnswer> {
        vec![
            statement(10, &[1], (2, KeyChange::Active), &[1, 2]),
            statement(20, &[1, 2], (1, KeyChange::Retired), &[1, 2]),
        ]
    }

    fn head(size: u64, seeds: &[u8]) -> SignedCheckpoint {
        let head = Checkpoint::new(Origin::new(ORIGIN).unwrap(), TreeSize::new(size).unwrap(), Hash::new([1; 32]));
        let keys: Vec<SignerKey> = seeds.iter().map(|&seed| key(seed)).collect();
        let time = cairn_tree::checkpoint::Timestamp::ZERO;
        head.sign_all(&keys.iter().collect::<Vec<_>>(), time).unwrap()
    }

    #[test]
    fn a_key_is_adopted_along_statements_and_a_retired_one_signs_nothing_later() {
        let ring = given(&[1]).follow(rotation()).unwrap();
        assert_eq!((ring.active(), ring.all().as_slice()), (&[vkey(2)][..], &[vkey(1), vkey(2)][..]));
        // Entry 20 retires it, which a tree of 21 entries has.
        assert!(ring.verify(&head(20, &[1])).is_ok());
        assert!(matches!(ring.verify(&head(21, &[1])), Err(HeadFault::Retired(..))));
        assert!(ring.verify(&head(21, &[1, 2])).is_ok());
        assert!(ring.verify(&head(21, &[2])).is_ok());
        assert!(matches!(ring.verify(&head(21, &[3])), Err(HeadFault::Signature(_))));
        // Without statements the operator's word counts.
        assert!(given(&[1, 2]).verify(&head(21, &[1])).is_ok());
    }

    #[test]
    fn a_key_that_no_trusted_key_vouches_for_is_not_adopted() {
        let stolen = statement(10, &[1], (9, KeyChange::Active), &[9]);
        assert_eq!(given(&[1]).follow(vec![stolen.clone()]).unwrap().all(), given(&[1]).all());
        // Once statements are followed, each must follow the one before it.
        let mut statements = rotation();
        statements.push(statement(30, &[2], (9, KeyChange::Active), &[9]));
        assert!(given(&[1]).follow(statements).is_err());
    }

    /// The holder of a key that was retired signs a statement of his own and shows no other.
    #[test]
    fn whoever_has_a_retired_key_leads_nobody_astray_who_knows_that_it_is() {
        let ring = given(&[1]).follow(rotation()).unwrap();
        let thief = statement(30, &[1], (9, KeyChange::Active), &[1, 9]);
        assert!(ring.follow(vec![thief.clone()]).is_err());
        let mut after = rotation();
        after.push(thief);
        assert!(ring.follow(after).is_err());
        assert!(ring.follow(Vec::new()).is_err(), "what was followed is held to");
        assert_eq!(ring.follow(rotation()).unwrap(), ring);
    }

    #[test]
    fn a_log_with_endless_changes_is_not_followed() {
        let mut statements = Vec::new();
        for round in 0..=bounds::FOLLOWED_STATEMENTS as u64 / 2 {
            statements.push(statement(10 * round, &[1], (2, KeyChange::Active), &[1, 2]));
            statements.push(statement(10 * round + 5, &[1, 2], (2, KeyChange::Retired), &[1, 2]));
        }
        assert!(given(&[1]).follow(statements.clone()).is_err());
        statements.truncate(4);
        let ring = given(&[1]).follow(statements).unwrap();
        // The last time that it was retired counts.
        assert!(ring.verify(&head(15, &[2])).is_ok());
        assert!(ring.verify(&head(16, &[2])).is_err());
    }
}
