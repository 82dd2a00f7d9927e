//! What a witness makes of a request: a pure function of the request, the log's keys and the last head that was cosigned.
//!
//! C2SP tlog-witness, `add-checkpoint`; the steps stand in the order of the specification. Not here: that the decision is
//! still true when it is written down (`writer` sees to that), and the words of the answer (`serve`).

use cairn_tree::checkpoint::{CheckpointVerifyError, SignedCheckpoint, VerifiedCheckpoint};
use cairn_tree::merkle::{ConsistencyError, Extension, Root};
use cairn_tree::note::{NoteSignature, NoteVerifyError, SignedNote, VerifierKey};
use cairn_tree::size::TreeSize;
use cairn_tree::wire::witness::AddCheckpoint;

/// What the witness knows of the log that a request names.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The keys that are trusted for the origin.
    pub keys: &'a [VerifierKey],
    /// The newest tree that was cosigned.
    pub last: Option<Root>,
}

/// Why a request is refused, in the order of the specification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The origin is of no log that this witness watches.
    #[error("the origin is unknown")]
    UnknownOrigin,
    /// No trusted key has signed, or one is said to have and has not.
    #[error("{0}")]
    Untrusted(NoteVerifyError),
    /// A trusted key has signed, but none that is named like the origin, or none that covers all of the text.
    #[error("{0}")]
    NotItsKey(CheckpointVerifyError),
    /// The old size is larger than the checkpoint's.
    #[error("the old size {old} is larger than the checkpoint's {size}")]
    OldPastNew {
        /// The old size.
        old: TreeSize,
        /// The checkpoint's.
        size: TreeSize,
    },
    /// The old size is not that of the newest tree that was cosigned.
    #[error("the newest cosigned tree has {size} leaves")]
    Conflict {
        /// The size of that tree.
        size: TreeSize,
    },
    /// A tree without leaves with a root that none has.
    #[error("the root of an empty tree must be the hash of nothing")]
    EmptyRoot,
    /// The proof is not one, or not empty where nothing is to be proven.
    #[error("{0}")]
    Proof(ConsistencyError),
    /// The log has signed two trees of one size before. No step of the specification: a key that did this is trusted no
    /// more, and is answered as one that is not.
    #[error("this log has signed two trees of one size; nothing is cosigned for it any more")]
    Forked,
    /// Two roots of one size.
    #[error("a tree of {size} leaves with another root was cosigned before")]
    OtherRoot {
        /// The size.
        size: TreeSize,
    },
}

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// The head, if its log did sign it and it has another root than the cosigned tree of the same size: the log has
    /// contradicted itself, whatever the reason of the refusal.
    pub contradiction: Option<Box<VerifiedCheckpoint>>,
}

impl Refusal {
    /// The status that the specification gives.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::UnknownOrigin => 404,
            Self::Untrusted(_) | Self::NotItsKey(_) | Self::Forked => 403,
            Self::OldPastNew { .. } => 400,
            Self::Conflict { .. } => 409,
            Self::EmptyRoot | Self::Proof(_) | Self::OtherRoot { .. } => 422,
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, contradiction: None }
    }
}

/// Whether the checkpoint may be cosigned. What comes back carries the signatures of trusted keys and no others.
///
/// # Errors
/// [`Refused`], with the first step that fails.
pub fn decide(known: Option<Known<'_>>, request: &AddCheckpoint) -> Result<VerifiedCheckpoint, Refused> {
    // 1. The origin is known.
    let Known { keys, last } = known.ok_or(Refusal::UnknownOrigin)?;
    // 2. A trusted key has signed, and none that is named has not. Signatures by unknown keys are ignored.
    let head = match only_trusted(request.checkpoint(), keys)?.verify(keys) {
        Ok(head) => Some(head),
        // This comes later in the specification's order: step 5.
        Err(CheckpointVerifyError::EmptyRoot) => None,
        Err(CheckpointVerifyError::Note(error)) => return Err(Refusal::Untrusted(error).into()),
        Err(error @ (CheckpointVerifyError::Origin { .. } | CheckpointVerifyError::UnsignedExtensions(_))) => {
            return Err(Refusal::NotItsKey(error).into());
        }
    };
    let contradiction = || {
        let other = head.as_ref().filter(|head| last.is_some_and(|last| contradicts(head, last)));
        other.cloned().map(Box::new)
    };
    let refuse = |refusal| Refused { refusal, contradiction: contradiction() };
    // 3. The old size is at most the new one.
    let (old, size) = (request.old(), request.checkpoint().unverified().size());
    if old > size {
        return Err(refuse(Refusal::OldPastNew { old, size }));
    }
    // 4. The old size is the one that this witness knows.
    let newest = last.map_or(TreeSize::ZERO, |last| last.size);
    if old != newest {
        return Err(refuse(Refusal::Conflict { size: newest }));
    }
    // 5. An empty tree has one root only.
    let Some(head) = &head else { return Err(Refusal::EmptyRoot.into()) };
    // 6. With an old size of zero the proof is empty; else it proves that the new tree extends the old one.
    // 7. Equal sizes have equal roots. This is looked at first only so that the reason names it: the status is the same.
    if contradicts(head, last.unwrap_or(head.tree())) {
        return Err(refuse(Refusal::OtherRoot { size }));
    }
    let proven = match last.filter(|last| last.size > TreeSize::ZERO) {
        None => request.proof().verify_from_empty(&head.tree()),
        Some(old) => request.proof().verify(&Extension { old, new: head.tree() }),
    };
    proven.map_err(|error| refuse(Refusal::Proof(error)))?;
    Ok(head.clone())
}

fn contradicts(head: &VerifiedCheckpoint, last: Root) -> bool {
    head.size() == last.size && head.root() != last.hash
}

/// The checkpoint with the lines that claim to be by a trusted key, each once: what is kept and shown stays bounded by the
/// keys, and nobody else's lines travel with it.
fn only_trusted(checkpoint: &SignedCheckpoint, keys: &[VerifierKey]) -> Result<SignedCheckpoint, Refused> {
    let note = checkpoint.note();
    let mut lines: Vec<NoteSignature> = Vec::new();
    for line in note.signatures().iter().filter(|line| keys.iter().any(|key| line.claims(key))) {
        if !lines.contains(line) {
            lines.push(line.clone());
        }
    }
    let nobody = || Refused::from(Refusal::Untrusted(NoteVerifyError::NoKnownKey));
    let stripped = SignedNote::new(note.unverified_text().to_owned(), lines).map_err(|_| nobody())?;
    SignedCheckpoint::parse(stripped.encode().as_bytes()).map_err(|_| nobody())
}
