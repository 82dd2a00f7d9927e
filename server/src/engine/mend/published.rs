//! The witness policy of a log and the checkpoint that met it. Both follow from nothing; but the high-water knows which policy
//! was in force, and which checkpoint was published.
//!
//! So a policy is known to be the newest, wherever it comes from, and that there was none is known as well. Only where the
//! high-water says nothing, having been written by an older program, nobody knows whether one is gone.

use cairn_tree::size::TreeSize;
use cairn_tree::store::{Key, Store as _};

use super::MendError;
use super::report::Remedy;
use super::rest::Rest;
use crate::engine::layout::{CheckpointRow, Checkpointed, Current, PolicyRow, PolicyText};
use crate::engine::published::LogPolicy;
use crate::high_water::PolicyMark;

const POLICY: &str = "policy";
const CHECKPOINT: &str = "checkpoint";

/// What it means that a policy may be gone, of which no row is found.
const UNSURE_POLICY: &str = "the log is held, and publishes no new checkpoint, until you say which policy holds: cairnd log \
                             policy NAME --policy FILE, or --none";
/// What it means that one is gone. The high-water knows which it was, and goes on knowing.
const LOST_POLICY: &str = "the log is held, and publishes no new checkpoint, until you say which policy holds: cairnd log \
                           policy NAME --policy FILE, or --none; until then a repair with a backup that has it (--from) \
                           finds it, now or later";
/// What it means that a policy that was found may have been changed since.
const OLDER_POLICY: &str =
    "kept as it is: if it was changed since, change it again; see: cairnd log policy NAME --show";
/// What it means that a policy can't be read, or is there still, that was removed.
const NO_POLICY: &str = "let go of: the high-water file knows that the log has none";
/// What it means that there is no checkpoint.
const NO_CHECKPOINT: &str = "none is published before a head meets the policy";
/// Old rows of a copy are taken for what the damaged database had.
const AS_OF_COPY: &str = "taken to be as it was when the copy was made: if it was changed since, change it again";
const NOT_OURS: &str = "it is not one that this program writes for this log";

/// What is known of the policy.
enum Known {
    /// There is none.
    None,
    /// This one is in force.
    In(PolicyRow),
    /// Which one is in force nobody knows, or whether one is.
    Lost,
}

impl Rest<'_, '_> {
    /// The policy and the checkpoint that met it; whether the log is held, because nobody knows which policy holds.
    pub(super) fn published(&mut self) -> Result<bool, MendError> {
        let key = PolicyRow::key(self.log);
        let known = match self.decided.map_or(PolicyMark::Unknown, |decided| decided.policy) {
            PolicyMark::Unknown => self.unmarked_policy()?,
            PolicyMark::Absent => self.no_policy(),
            mark @ PolicyMark::Of(_) => self.marked_policy(mark)?,
        };
        let row = match known {
            Known::None => return Ok(false),
            Known::In(row) => row,
            Known::Lost => PolicyRow { current: Current::Lost, outstanding: None },
        };
        self.put(key, row.encode())?;
        match row.current {
            // The newest head is the checkpoint.
            Current::Absent => return Ok(false),
            Current::Said(_) | Current::Proposed(_) | Current::Lost => self.checkpoint()?,
        }
        Ok(row.current == Current::Lost)
    }

    /// By the rows alone: the high-water says nothing.
    fn unmarked_policy(&mut self) -> Result<Known, MendError> {
        let key = PolicyRow::key(self.log);
        let own = self.own(&key, &is_policy);
        // That a copy has none says nothing of a row that can't be read.
        let may_be_gone = self.lost || !matches!(own, Ok(None));
        let row = match own {
            Ok(Some(row)) => Some(row),
            Ok(None) if !self.in_part => None,
            // Where parts could be read only, a row that is not there is not told of, unless a copy has one.
            Ok(None) => self.of_copy(&key, &is_policy, "it is gone".to_owned(), Some(AS_OF_COPY)),
            Err(problem) => self.of_copy(&key, &is_policy, problem, Some(AS_OF_COPY)),
        };
        let row = row.and_then(|row| PolicyRow::decode(&row).ok());
        if row.as_ref().is_some_and(|row| row.current != Current::Lost) && self.lost {
            self.tell(POLICY, "it may not be the newest".to_owned(), Remedy::Unsure(OLDER_POLICY));
        }
        Ok(match row {
            Some(row) if row.current == Current::Absent && row.outstanding.is_none() => Known::None,
            Some(row) => Known::In(row),
            None if may_be_gone => self.lost_policy("none is found, and one may be gone", UNSURE_POLICY),
            None => Known::None,
        })
    }

    /// The log has none. A row that was written since is durable, and was not in force yet.
    fn no_policy(&mut self) -> Known {
        let own = self.own(&PolicyRow::key(self.log), &is_policy);
        match own.map(|row| row.and_then(|row| PolicyRow::decode(&row).ok())) {
            Ok(Some(row)) if !self.in_part => return Known::In(row),
            Ok(Some(_)) => self.tell(POLICY, "one is there that was removed".to_owned(), Remedy::Dropped(NO_POLICY)),
            Ok(None) => {}
            Err(problem) => self.tell(POLICY, problem, Remedy::Dropped(NO_POLICY)),
        }
        Known::None
    }

    /// The one with this mark, or one that was written since and is durable.
    fn marked_policy(&mut self, mark: PolicyMark) -> Result<Known, MendError> {
        let key = PolicyRow::key(self.log);
        let is_it = |row: &[u8]| is_policy(row) && PolicyMark::of(row) == mark;
        let problem = match self.own(&key, &is_policy) {
            Ok(Some(row)) if is_it(&row) => return Ok(in_force(&row)),
            // One that was lost before is still in a copy, perhaps.
            Ok(Some(row)) if !self.in_part && is_lost(&row) => {
                let found = self.of_copy(&key, &is_it, "it was lost before".to_owned(), None);
                return Ok(in_force(&found.unwrap_or(row)));
            }
            Ok(Some(row)) if !self.in_part => return Ok(in_force(&row)),
            Ok(Some(_)) => "the one that is found is not the newest".to_owned(),
            // It was removed since, which is durable.
            Ok(None) if !self.in_part => return Ok(Known::None),
            Ok(None) => "none is found, and the high-water file knows of one".to_owned(),
            Err(problem) => problem,
        };
        if let Some(row) = self.of_copy(&key, &is_it, problem.clone(), None) {
            return Ok(in_force(&row));
        }
        Ok(self.lost_policy(&problem, LOST_POLICY))
    }

    fn lost_policy(&mut self, found: &str, means: &'static str) -> Known {
        self.tell(POLICY, found.to_owned(), Remedy::Unsure(means));
        Known::Lost
    }

    /// The checkpoint of a log with a policy, or that there is none yet: nothing may pass for one that met the policy, nor any
    /// be smaller than one that was published.
    fn checkpoint(&mut self) -> Result<(), MendError> {
        let key = CheckpointRow::key(self.log);
        let least = self.decided.map_or(TreeSize::ZERO, |decided| decided.checkpoint);
        let (binding, size) = (self.binding, self.size);
        let keys: Vec<_> = binding.keys.iter().filter_map(|key| key.vkey.parse().ok()).collect();
        // Its signature is verified by decoding.
        let decode = |row: &[u8]| CheckpointRow::decode(row, &keys).ok();
        let fits = |row: &[u8]| match decode(row) {
            Some(Checkpointed::At(head)) => head.size <= size,
            Some(Checkpointed::NotYet) => true,
            None => false,
        };
        let is_newest = |row: &[u8]| match decode(row) {
            Some(Checkpointed::At(head)) => head.size >= least,
            Some(Checkpointed::NotYet) => true,
            None => false,
        };
        let problem = match self.own(&key, &fits) {
            Ok(Some(row)) if is_newest(&row) => return self.put(key, row),
            Ok(Some(_)) => format!("the one that is found is smaller than one of size {least} that was published"),
            Ok(None) => "none is found".to_owned(),
            Err(problem) => problem,
        };
        let of_copy = |row: &[u8]| matches!(decode(row), Some(Checkpointed::At(_))) && fits(row) && is_newest(row);
        if let Some(row) = self.of_copy(&key, &of_copy, problem.clone(), None) {
            return self.put(key, row);
        }
        self.tell(CHECKPOINT, problem, Remedy::Dropped(NO_CHECKPOINT));
        self.put(key, CheckpointRow::not_yet())
    }

    /// The damaged database's own row, if it is one; what is wrong with it, if something is.
    fn own(&self, key: &Key, fits: &dyn Fn(&[u8]) -> bool) -> Result<Option<Vec<u8>>, String> {
        match self.parts.own_store.get(key) {
            Ok(Some(row)) if !fits(&row) => Err(NOT_OURS.to_owned()),
            row => row.map_err(|error| error.to_string()),
        }
    }

    /// The row of the first copy that has one, which is told of; with what that means, if it means something.
    fn of_copy(
        &mut self,
        key: &Key,
        fits: &dyn Fn(&[u8]) -> bool,
        problem: String,
        means: Option<&str>,
    ) -> Option<Vec<u8>> {
        let has = |copy: &super::Copy| {
            let row = copy.store.get(key).ok().flatten().filter(|row| fits(row))?;
            Some((copy.name.clone(), row))
        };
        let (name, row) = self.parts.copies().find_map(has)?;
        let from = means.map_or_else(|| name.clone(), |means| format!("{name}: {means}"));
        let what = if *key == PolicyRow::key(self.log) { POLICY } else { CHECKPOINT };
        self.tell(what, problem, Remedy::From(from));
        Some(row)
    }
}

fn in_force(row: &[u8]) -> Known {
    PolicyRow::decode(row).map_or(Known::Lost, Known::In)
}

/// Whether a row says that nobody knows the policy.
fn is_lost(row: &[u8]) -> bool {
    PolicyRow::decode(row).is_ok_and(|row| row.current == Current::Lost)
}

fn is_policy(row: &[u8]) -> bool {
    let parses = |text: &PolicyText| LogPolicy::parse(&text.text, text.fail_open).is_ok();
    let all = |row: PolicyRow| row.current.said().iter().chain(&row.outstanding).all(parses);
    PolicyRow::decode(row).is_ok_and(all)
}
