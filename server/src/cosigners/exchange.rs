//! One exchange with one witness about one head (C2SP tlog-witness, add-checkpoint): from the request to what its answer
//! means.
//!
//! A witness may be wrong, broken or lying. Only its cosignatures are believed, once they verify, and a head that this
//! log's own key has signed, wherever it comes from. All else it says is a claim: a size is followed with a proof, and
//! a refusal is counted.

use std::ops::RangeInclusive;
use std::sync::Arc;

use cairn_tree::checkpoint::{Origin, SignedCheckpoint, Timestamp};
use cairn_tree::merkle::{ConsistencyProof, Growth};
use cairn_tree::note::{NoteSignature, VerifierKey};
use cairn_tree::size::TreeSize;
use cairn_tree::wire::witness::{AddCheckpoint, Conflict, Cosignatures};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::cosigned::Cosigned;
use super::endpoint::Endpoint;
use super::transport::{NoReply, Reply, Transport};
use crate::engine::{Head, Log, LogPolicy};

/// Requests of one exchange: the first, one for the size that the witness then names, and some for a witness that is
/// asked by others meanwhile.
const REQUESTS: usize = 4;

/// What is asked of whom.
pub(super) struct Exchange {
    pub(super) transport: Arc<Transport>,
    /// The log's share of it.
    pub(super) share: Arc<Semaphore>,
    pub(super) log: Log,
    pub(super) policy: Arc<LogPolicy>,
    pub(super) endpoint: Arc<Endpoint>,
    /// A released head of the log.
    pub(super) head: Arc<Head>,
    /// The times that are believed of a cosignature.
    pub(super) times: RangeInclusive<u64>,
}

/// The times that are believed when the time is `now_ms`: any but those of a day to come or later. A cosignature of such
/// a time could not be replaced by an honest one for as long, and no bound is nearer, so that a clock that is off by
/// hours, ours or theirs, does not hold up a log.
pub(super) fn not_from_the_future(now_ms: u64) -> RangeInclusive<u64> {
    0..=(now_ms / 1_000).saturating_add(DAY)
}

/// The times that are believed of a cosignature that is asked for at `now_ms`, where an old one would be no answer.
pub(super) fn made_lately(now_ms: u64) -> RangeInclusive<u64> {
    (now_ms / 1_000).saturating_sub(LATELY)..=(now_ms / 1_000).saturating_add(DAY)
}

/// Seconds.
const DAY: u64 = 24 * 60 * 60;

/// By how many seconds the clocks of an honest log and witness may differ.
const LATELY: u64 = 10 * 60;

/// A cosignature that was verified.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// Where its witness stands in the policy.
    pub(super) witness: usize,
    /// Whether it is by whoever was asked; others may come along.
    pub(super) own: bool,
    pub(super) line: NoteSignature,
    pub(super) time: Timestamp,
}

/// What came of an exchange.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The witness cosigned the head; `wrong` of its lines did not verify.
    Cosigned { lines: Vec<Line>, wrong: u64 },
    /// The witness holds a head, signed by this log's own key, that this log does not extend or contain.
    Contradicted(String),
    /// It did not cosign.
    Failed(Failure),
}

/// Why a witness did not cosign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    NoReply(#[from] NoReply),
    #[error("it does not know this log")]
    UnknownLog,
    #[error("it does not know this log any more, although it has cosigned its head of size {0}: it has lost its state")]
    LostState(TreeSize),
    #[error("it answers with a cosignature that is here already; it has not cosigned the head anew")]
    Replayed,
    #[error("it trusts none of the head's signatures")]
    Refused,
    #[error("it claims a history that this log's head does not extend")]
    OtherHistory,
    #[error("it claims to have cosigned size {0}, which is more than the log has, and shows no such head")]
    ClaimsLarger(TreeSize),
    #[error("it names one size after another as the last that it cosigned")]
    Unsettled,
    #[error("its cosignature is wrong: {0}")]
    WrongCosignature(String),
    #[error("it answers with status {0}")]
    Status(u16),
    #[error("its answer can't be read: {0}")]
    Malformed(String),
    #[error("the log can't be read: {0}")]
    Log(String),
}

impl Failure {
    /// The kinds, as metrics count them.
    pub(super) const KINDS: [&str; 13] = [
        "unreachable",
        "timeout",
        "too_long",
        "unknown_log",
        "refused",
        "other_history",
        "claims_larger",
        "conflict",
        "wrong_cosignature",
        "status",
        "malformed",
        "lost_state",
        "replayed",
    ];

    /// The place of this failure's kind.
    pub(super) const fn kind(&self) -> usize {
        match self {
            Self::NoReply(NoReply::Unreachable(_)) => 0,
            Self::NoReply(NoReply::TimedOut) => 1,
            Self::NoReply(NoReply::TooLong) => 2,
            Self::UnknownLog => 3,
            Self::Refused => 4,
            Self::OtherHistory => 5,
            Self::ClaimsLarger(_) => 6,
            Self::Unsettled => 7,
            Self::WrongCosignature(_) => 8,
            Self::Status(_) => 9,
            Self::Malformed(_) | Self::Log(_) => 10,
            Self::LostState(_) => 11,
            Self::Replayed => 12,
        }
    }

    /// The place of the kind of cosignatures that do not verify.
    pub(super) const WRONG: usize = 8;
}

impl Exchange {
    /// Asks. `confirmed` is the size that this witness cosigned last, as far as is known.
    pub(super) async fn run(self, confirmed: Option<TreeSize>) -> Outcome {
        match self.try_run(confirmed.unwrap_or(TreeSize::ZERO)).await {
            Ok(outcome) => outcome,
            Err(failure) => Outcome::Failed(failure),
        }
    }

    async fn try_run(&self, confirmed: TreeSize) -> Result<Outcome, Failure> {
        // Only the log's own signatures are forwarded: the released head has no others.
        let signed = SignedCheckpoint::parse(&self.head.note).map_err(|error| Failure::Log(error.to_string()))?;
        let mut old = confirmed.min(self.head.size);
        for _ in 0..REQUESTS {
            let body = AddCheckpoint::new(old, self.proof(old)?, signed.clone());
            let body = body.map_err(|error| Failure::Log(error.to_string()))?.to_string();
            let reply = self.transport.post(&self.share, self.endpoint.prefix.add_checkpoint(), body).await?;
            match reply.status {
                200 => return self.cosigned(&signed, &reply),
                409 => match Conflict::parse(&reply.body) {
                    // An unsigned claim. Up to our size, a proof from there settles it.
                    Ok(conflict) if conflict.size > self.head.size => return self.larger(conflict.size).await,
                    Ok(conflict) if conflict.size == old => return Err(Failure::Unsettled),
                    Ok(conflict) => old = conflict.size,
                    // omniwitness answers so where the specification says 422: same size, other root.
                    Err(_) if reply.body.is_empty() && old == self.head.size => return self.other_history().await,
                    Err(error) => return Err(Failure::Malformed(error.to_string())),
                },
                422 => return self.other_history().await,
                404 => return Err(self.unknown()),
                403 => return Err(Failure::Refused),
                status => return Err(Failure::Status(status)),
            }
        }
        Err(Failure::Unsettled)
    }

    /// The witness does not know the log. If our durable checkpoint has its cosignature, it did once.
    fn unknown(&self) -> Failure {
        let Some(checkpoint) = self.log.checkpoint() else { return Failure::UnknownLog };
        let size = checkpoint.size;
        let published = Cosigned::published(checkpoint, &self.policy, Instant::now());
        let knew = self.endpoint.witnesses.iter().any(|witness| published.has(*witness));
        if knew && size > TreeSize::ZERO { Failure::LostState(size) } else { Failure::UnknownLog }
    }

    /// From the empty tree, and from a tree to itself, there is nothing to prove.
    fn proof(&self, old: TreeSize) -> Result<ConsistencyProof, Failure> {
        let growth = Growth { from: old, to: self.head.size };
        if old == TreeSize::ZERO || old == self.head.size {
            return ConsistencyProof::from_hashes(Vec::new()).map_err(|error| Failure::Log(error.to_string()));
        }
        self.log.consistency(&self.log.head(), growth).map_err(|error| Failure::Log(error.to_string()))
    }

    /// Takes the cosignatures that verify: by any witness of the policy, but at least one by whoever was asked.
    fn cosigned(&self, signed: &SignedCheckpoint, reply: &Reply) -> Result<Outcome, Failure> {
        let answer = Cosignatures::parse(&reply.body).map_err(|error| Failure::Malformed(error.to_string()))?;
        let (mut lines, mut wrong, mut first_wrong) = (Vec::new(), 0, None);
        for line in answer.lines() {
            for (witness, known) in self.policy.policy().witnesses().iter().enumerate() {
                match known.key().verify_line(signed, line) {
                    Ok(None) => {}
                    Ok(Some(time)) if !self.times.contains(&time.seconds()) => {
                        wrong += 1;
                        first_wrong.get_or_insert(format!("it was made at {time}, which is not about now"));
                    }
                    Ok(Some(time)) => {
                        let own = self.endpoint.witnesses.contains(&witness);
                        lines.push(Line { witness, own, line: line.clone(), time });
                    }
                    Err(error) => {
                        wrong += 1;
                        first_wrong.get_or_insert(error.to_string());
                    }
                }
            }
        }
        if lines.iter().any(|line| line.own) {
            return Ok(Outcome::Cosigned { lines, wrong });
        }
        Err(match first_wrong {
            Some(error) => Failure::WrongCosignature(error),
            None => Failure::Malformed("it has no cosignature by a key of this witness".to_owned()),
        })
    }

    /// The witness claims a larger tree than the log has. Only a head that the log's own key has signed shows that.
    async fn larger(&self, claimed: TreeSize) -> Result<Outcome, Failure> {
        self.shown().await.map(Outcome::Contradicted).ok_or(Failure::ClaimsLarger(claimed))
    }

    /// The witness refuses a proof that is right. If it saw another tree that the log's own key has signed, as after an
    /// old copy was restored and has grown past that tree's size, it can show it.
    async fn other_history(&self) -> Result<Outcome, Failure> {
        self.shown().await.map(Outcome::Contradicted).ok_or(Failure::OtherHistory)
    }

    /// How the head that the witness serves contradicts the log, if it does.
    async fn shown(&self) -> Option<String> {
        let origin = Origin::new(self.log.info().origin.as_str()).ok()?;
        let reply = self.transport.get(&self.share, self.endpoint.prefix.checkpoint_of(&origin)).await.ok()?;
        if reply.status == 200 { self.contradiction(&reply.body) } else { None }
    }

    /// How a checkpoint that a witness shows contradicts the log, if the log's own key has signed it.
    fn contradiction(&self, shown: &[u8]) -> Option<String> {
        let signed = SignedCheckpoint::parse(shown).ok()?;
        let verified = signed.verify(&own_keys(&self.log)).ok()?;
        let (size, root) = (verified.size(), verified.root());
        let head = self.log.head();
        if size > head.size {
            let (name, ours) = (&self.endpoint, head.size);
            tracing::error!(log = %self.log.info().name, witness = %name, checkpoint = %signed, "a larger head of this log");
            return Some(format!(
                "witness {name} shows a head of size {size} (root {root}) that this log's own key has signed, but the log \
                 has only {ours} entries: its database is older than that head"
            ));
        }
        let ours = self.log.root(&head, size).ok().filter(|ours| *ours != root)?;
        let name = &self.endpoint;
        tracing::error!(log = %self.log.info().name, witness = %name, checkpoint = %signed, "another head of this log");
        Some(format!(
            "witness {name} shows a head of size {size} with root {root} that this log's own key has signed, but the log \
             has root {ours} there"
        ))
    }
}

/// The keys that sign or have signed this log's heads.
pub(super) fn own_keys(log: &Log) -> Vec<VerifierKey> {
    log.keys().iter().filter_map(|key| key.vkey.parse().ok()).collect()
}
