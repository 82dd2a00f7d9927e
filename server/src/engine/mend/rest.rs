//! What a log has beside its entries and tiles: what follows from these is made anew, what follows from nothing is taken
//! along.

use std::collections::BTreeSet;

use cairn_tree::size::TreeSize;
use cairn_tree::store::{Key, KeyRange, Kind, LogId, Store};

use super::MendError;
use super::lacking::Lacking;
use super::report::{Remedy, Report};
use super::rows::{Gap, scan_past};
use super::secret::Draw;
use super::sink::Sink;
use super::sources::Parts;
use crate::engine::bounds::SCRUB_INDEX_LEAVES;
use crate::engine::idempotency::expiry_of;
use crate::engine::index::{self, Anew};
use crate::engine::layout::{BindingRow, DisclosuresRow, HeadRow, IdempotencyRow};
use crate::engine::scrub::Place;
use crate::engine::stored::ReadError;
use crate::high_water::Decided;

/// What it means that a row of an idempotency key is gone.
const RETRIES: &str = "let go of: a retry of an append from before the repair may be appended a second time";
/// What it means that rows of idempotency keys may be gone.
const UNSURE_RETRIES: &str = "those that can be read are kept; a retry of an append whose key is gone is appended a second \
                              time: let producers ask what became of their newest appends before they try again";

/// How rows of a kind come to be in the new database.
enum Way {
    /// They are made of the entries, or with other rows.
    Made,
    /// The policy, which says what becomes of the checkpoint as well.
    Published,
    /// The secret of the records' prints.
    Secret,
    /// They are what was promised for idempotency keys.
    Promises,
    /// They are what records disclose.
    Disclosed,
    /// They are left out: the server makes them again from the records, beside its work.
    LeftOut,
}

/// Every kind of row that a log can have. A kind that is new has to be given its way.
fn way(kind: Kind) -> Way {
    match kind {
        Kind::Head | Kind::Binding | Kind::Tile(_) => Way::Made,
        Kind::Bundle | Kind::BundlePart | Kind::Piece => Way::Made,
        Kind::IndexRun | Kind::IndexManifest | Kind::Expiry => Way::Made,
        Kind::Policy => Way::Published,
        // With the policy.
        Kind::Checkpoint => Way::Made,
        Kind::PrintSecret => Way::Secret,
        Kind::Idempotency => Way::Promises,
        Kind::Disclosures => Way::Disclosed,
        Kind::PostingRun | Kind::PostingManifest => Way::LeftOut,
    }
}

/// The rest of one log, whose entries are all there.
pub(super) struct Rest<'a, 'b> {
    pub(super) parts: &'a Parts<'a>,
    pub(super) log: LogId,
    pub(super) binding: &'a BindingRow,
    pub(super) size: TreeSize,
    /// The indexes of its first and its last record, if it has any.
    pub(super) records: Option<(u64, u64)>,
    /// The records whose disclosures are there and are none of theirs.
    pub(super) changed: &'b BTreeSet<u64>,
    /// Those that lack disclosures.
    pub(super) lacking: &'b Lacking,
    /// What the high-water knows that was decided about it.
    pub(super) decided: Option<Decided>,
    /// Whether rows may be missing without a trace: the database could be opened in part only.
    pub(super) in_part: bool,
    /// Whether rows may be missing that were the newest of their kind, and that nothing else tells of.
    pub(super) lost: bool,
    /// Where a secret comes from that nobody has any more.
    pub(super) draw: Draw,
    pub(super) report: &'b mut Report,
    pub(super) sink: Option<&'b mut Sink>,
}

/// What became of it.
pub(super) struct Rested {
    /// Nobody knows the log's policy.
    pub(super) is_held: bool,
}

impl<'a> Rest<'a, '_> {
    pub(super) fn run(mut self) -> Result<Rested, MendError> {
        let mut rested = Rested { is_held: false };
        for kind in Kind::all() {
            match way(kind) {
                Way::Made | Way::LeftOut => {}
                Way::Published => rested.is_held = self.published()?,
                Way::Secret => self.secret()?,
                Way::Promises => self.idempotency()?,
                Way::Disclosed => self.disclosures()?,
            }
        }
        self.index()?;
        Ok(rested)
    }

    pub(super) fn tell(&mut self, what: &'static str, found: String, remedy: Remedy) {
        self.report.add(Some(&self.binding.name), (Place::Rows(what), found), remedy);
    }

    pub(super) fn put(&mut self, key: Key, row: Vec<u8>) -> Result<(), MendError> {
        match &mut self.sink {
            Some(sink) => sink.put(key, row),
            None => Ok(()),
        }
    }

    /// What a copy has; whether it was put.
    fn fill(&mut self, key: Key, row: Vec<u8>) -> Result<bool, MendError> {
        match &mut self.sink {
            Some(sink) => sink.fill(key, row),
            None => Ok(false),
        }
    }

    /// The rows of idempotency keys, and for each the row that lets it expire.
    fn idempotency(&mut self) -> Result<(), MendError> {
        let range = KeyRange::all(self.log, Kind::Idempotency);
        let (parts, size) = (self.parts, self.size);
        if self.lost && size > TreeSize::ZERO {
            self.tell("idempotency keys", "some may be gone".to_owned(), Remedy::Unsure(UNSURE_RETRIES));
        }
        let mut unfit = 0_u64;
        let gaps = scan_past(parts.own_store, range.clone(), &mut |key, row| match promise(&key, &row, size) {
            Promise::Kept(expiry) => self.put(key, row).and_then(|()| self.put(expiry, Vec::new())),
            // Nobody was told of it.
            Promise::Unreleased => Ok(()),
            Promise::Unfit => {
                unfit += 1;
                Ok(())
            }
        })?;
        if unfit > 0 {
            self.tell("idempotency keys", format!("{unfit} of them can't be read"), Remedy::Dropped(RETRIES));
        }
        let copy = parts.copies().next();
        if let Some(gap) = gaps.first() {
            let remedy = match copy {
                Some(copy) => Remedy::From(format!("{}, as far as it has them", copy.name)),
                None => Remedy::Dropped(RETRIES),
            };
            self.tell("idempotency keys", gap.problem.clone(), remedy);
        }
        let Some(copy) = copy.filter(|_| self.in_part || !gaps.is_empty()) else { return Ok(()) };
        let further = scan_past(&copy.store, range, &mut |key, row| {
            // The database's own, wherever that can be read, is newer; most of those are there already.
            let own = parts.own_store.get(&key).ok().flatten();
            let row = own.filter(|own| !matches!(promise(&key, own, size), Promise::Unfit)).unwrap_or(row);
            match promise(&key, &row, size) {
                Promise::Kept(expiry) if self.fill(key, row)? => self.put(expiry, Vec::new()),
                _ => Ok(()),
            }
        });
        further.map(drop)
    }

    /// What records disclose. Nothing else has it; so where a row can't be read, a copy must have had all of its records.
    fn disclosures(&mut self) -> Result<(), MendError> {
        let Some((first, last)) = self.records else { return Ok(()) };
        let range = KeyRange::numbers(self.log, Kind::Disclosures, first..last.saturating_add(1));
        let (parts, changed) = (self.parts, self.changed);
        let (mut missing, mut problem) = (Vec::new(), None);
        let gaps = scan_past(parts.own_store, range.clone(), &mut |key, row| {
            match own_row(&key, &row, changed) {
                Ok(()) => return self.put(key, row),
                Err(error) => problem = Some(error),
            }
            let after = key.number().unwrap_or(last).saturating_add(1);
            missing.push(range.starting_at(&key).ending_at(&Key::numbered(key.log(), key.kind(), after)));
            Ok(())
        })?;
        for Gap { from, to, problem: found } in gaps {
            problem = Some(found);
            let part = range.starting_at(&from);
            missing.push(to.map_or_else(|| part.clone(), |to| part.ending_at(&to)));
        }
        let mut end =
            missing.iter().filter_map(KeyRange::end_number).max().unwrap_or_default().min(last.saturating_add(1));
        let Lacking { records, is_cut } = self.lacking;
        problem = problem.or_else(|| lacks(self.lacking));
        if let Some(newest) = records.last() {
            // No row that is gone is of a later record.
            end = end.max(newest.get().saturating_add(1));
        }
        if *is_cut {
            end = last.saturating_add(1);
        }
        if !records.is_empty() || *is_cut {
            // Rows are gone without a trace.
            missing = vec![range];
        }
        let Some(covering) = self.copy_with(end, &missing) else {
            if let Some(problem) = problem {
                self.tell("disclosures of records", problem, Remedy::Missing);
            }
            return Ok(());
        };
        if let Some(problem) = problem {
            let from = format!("{}: what was erased since is there again: erase it again", covering.name);
            self.tell("disclosures of records", problem, Remedy::From(from));
        }
        for part in missing {
            let put = &mut |key: Key, row: Vec<u8>| {
                // Its own row, wherever that can be read: what was erased since is not in it. A scan gave out all of those but
                // the last before a block that can't be read.
                let own = parts.own_store.get(&key).ok().flatten();
                let own = own.filter(|own| own_row(&key, own, changed).is_ok());
                self.fill(key, own.unwrap_or(row)).map(drop)
            };
            scan_past(&covering.store, part, put)?;
        }
        Ok(())
    }

    /// A copy that had every record before `end` when it was made, and can be read where something is missing; none if
    /// nothing is.
    fn copy_with(&self, end: u64, missing: &[KeyRange]) -> Option<&'a super::Copy> {
        if missing.is_empty() {
            return None;
        }
        let has = |copy: &&super::Copy| {
            let row = copy.store.get(&HeadRow::key(self.log)).ok().flatten();
            let size = row.and_then(|row| HeadRow::decode(&row).ok()).map_or(0, |row| row.size.get());
            let is_readable = |part: &KeyRange| {
                let read = scan_past::<core::convert::Infallible>(&copy.store, part.clone(), &mut |_, _| Ok(()));
                read.is_ok_and(|gaps| gaps.is_empty())
            };
            size >= end && missing.iter().all(is_readable)
        };
        self.parts.copies().find(has)
    }

    /// The index from leaf hash to entry: looked at as it is, made anew from the tiles.
    fn index(&mut self) -> Result<(), MendError> {
        if !self.binding.hash_index {
            return Ok(());
        }
        let Some(sink) = &mut self.sink else {
            let mut way = index::Way { dedup: self.binding.dedup, most: SCRUB_INDEX_LEAVES, goes_on: &mut |_| true };
            if let Err(error) = index::check(self.parts.own_store, &self.parts.own, &mut way) {
                let place = (Place::HashIndex, error.to_string());
                self.report.add(Some(&self.binding.name), place, Remedy::Made);
            }
            return Ok(());
        };
        sink.flush()?;
        let mut anew = Anew::new(self.log);
        let read = |error: ReadError| MendError::Open(error.into());
        while let Some(rows) = anew.next(&sink.store, self.size).map_err(read)? {
            rows.into_parts().0.into_iter().try_for_each(|(key, row)| sink.put(key, row))?;
        }
        let (key, row) = anew.finish();
        sink.put(key, row)
    }
}

/// What it means that what some records disclose is gone, or may be.
fn lacks(lacking: &Lacking) -> Option<String> {
    let more = |is_cut| if is_cut { ", and more lack disclosures than a repair looks at" } else { "" };
    let whose = match (lacking.records.as_slice(), lacking.is_cut) {
        ([], false) => return None,
        ([], true) => "more records lack disclosures than a repair looks at".to_owned(),
        ([only], is_cut) => format!("what record {only} disclosed is gone{}", more(is_cut)),
        ([first, ..], is_cut) => {
            let count = lacking.records.len();
            format!("what {count} records disclosed is gone, of record {first} first{}", more(is_cut))
        }
    };
    Some(format!("{whose}; no mirror has it; a backup that was made after it was brought has"))
}

/// Whether a row of disclosures is what was written: it can be read, and none of its records has one that is not its own.
fn own_row(key: &Key, row: &[u8], changed: &BTreeSet<u64>) -> Result<(), String> {
    let decoded = DisclosuresRow::decode(key, row.to_vec()).map_err(|error| error.to_string())?;
    match decoded.indexes().find(|index| changed.contains(&index.get())) {
        Some(index) => Err(format!("of the record {index}: one has a digest that is none of the record's")),
        None => Ok(()),
    }
}

/// What a row of an idempotency key is worth.
enum Promise {
    /// It holds; with the key of the row that lets it expire.
    Kept(Key),
    /// It is of entries that were never released, and are not there.
    Unreleased,
    Unfit,
}

fn promise(key: &Key, row: &[u8], size: TreeSize) -> Promise {
    let Ok(row) = IdempotencyRow::decode(row) else { return Promise::Unfit };
    if row.placement.indexes().any(|index| index.get() >= size.get()) {
        return Promise::Unreleased;
    }
    expiry_of(key, row.expires_ms).map_or(Promise::Unfit, Promise::Kept)
}

#[cfg(test)]
mod tests {
    use cairn_tree::size::LeafIndex;

    use super::*;

    #[test]
    fn records_that_were_not_looked_at_are_told_of() {
        let told = |indexes: &[u64], is_cut: bool| {
            let records = indexes.iter().map(|index| LeafIndex::new(*index).unwrap()).collect();
            lacks(&Lacking { records, is_cut })
        };
        assert_eq!(told(&[], false), None);
        for (indexes, is_cut, begin) in [
            (&[][..], true, "more records lack disclosures than a repair looks at; no mirror"),
            (&[7], false, "what record 7 disclosed is gone; no mirror"),
            (&[7, 9], false, "what 2 records disclosed is gone, of record 7 first; no mirror"),
            (&[7], true, "what record 7 disclosed is gone, and more lack disclosures"),
        ] {
            let told = told(indexes, is_cut).unwrap();
            assert!(told.starts_with(begin), "{told}");
        }
    }
}
