//! Where the parts of one log may come from: the damaged database itself, copies of it, mirrors of the log.
//!
//! None is trusted. What a place must hold is known by its hash, and whoever has bytes of that hash has the right ones.

use std::convert::Infallible;

use cairn_rocks::RocksStore;
use cairn_tree::hash::Hash;
use cairn_tree::size::TreeSize;
use cairn_tree::store::{Key, KeyRange, Kind, Store as _};
use cairn_tree::tile::{BundleCoord, Entries, TileCoord, Width};

use super::rows::scan_past;
use crate::engine::growing::perfect_root;
use crate::engine::judge::Tiles;
use crate::engine::stored::{Stored, WIDTH, tile_hashes};

/// The longest bundle: 256 entries of 65,535 bytes, each with its length.
const BUNDLE_BYTES: usize = Width::FULL.get() * (2 + u16::MAX as usize);
const TILE_BYTES: usize = Width::FULL.get() * Hash::LEN;

/// Another copy of the database, open to read.
pub struct Copy {
    /// What it is, for people.
    pub name: String,
    /// Its store.
    pub store: RocksStore,
}

/// Somebody who serves a log as C2SP tlog-tiles has it.
pub trait Mirror {
    /// What it is, for people.
    fn name(&self) -> &str;
    /// The origin of the log that it says it serves.
    fn origin(&self) -> &str;
    /// The resource at this path below the log's prefix, of at most `most` bytes; `None` for any other answer.
    fn get(&self, path: &str, most: usize) -> Option<Vec<u8>>;
}

/// What is at hand beside the damaged database.
#[derive(Default)]
pub struct Sources {
    /// In the order in which they are asked.
    pub copies: Vec<Copy>,
    /// The same; asked after all copies.
    pub mirrors: Vec<Box<dyn Mirror>>,
}

/// One log, wherever parts of it are.
pub(super) struct Parts<'a> {
    pub(super) own: Stored<'a>,
    pub(super) own_store: &'a RocksStore,
    /// With their names.
    copies: Vec<(&'a Copy, Stored<'a>)>,
    mirrors: Vec<&'a dyn Mirror>,
}

/// Entries in bundle encoding, and who had them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Had {
    pub(super) encoded: Vec<u8>,
    pub(super) leaves: Vec<Hash>,
    /// `None`: the damaged database itself.
    pub(super) from: Option<String>,
}

/// The entries of an unfinished bundle that somebody has.
struct Holder {
    /// `None`: the damaged database itself.
    name: Option<String>,
    entries: Vec<Option<Vec<u8>>>,
}

impl<'a> Parts<'a> {
    pub(super) fn new(own_store: &'a RocksStore, sources: &'a Sources, own: Stored<'a>, origin: &str) -> Self {
        let copies = sources.copies.iter().map(|copy| (copy, Stored::new(&copy.store, own.log()))).collect();
        let mirrors = sources.mirrors.iter().map(|mirror| &**mirror).filter(|mirror| mirror.origin() == origin);
        Self { own, own_store, copies, mirrors: mirrors.collect() }
    }

    pub(super) fn copies(&self) -> impl Iterator<Item = &'a Copy> {
        self.copies.iter().map(|(copy, _)| *copy)
    }

    /// The entries of a full bundle that hash to this, and how the damaged database's own are wrong, if they are.
    pub(super) fn bundle(&self, number: u64, expected: &Hash) -> (Option<Had>, Option<String>) {
        let fits = |leaves: &[Hash]| perfect_root(leaves) == *expected;
        let problem = match read_bundle(&self.own, number) {
            Ok(had) if fits(&had.leaves) => return (Some(had), None),
            Ok(had) => format!("its entries hash to {}", perfect_root(&had.leaves).to_base64()),
            Err(problem) => problem,
        };
        let of_copy = |(copy, stored): &(&Copy, Stored<'_>)| {
            let had = read_bundle(stored, number).ok()?;
            Some(Had { from: Some(copy.name.clone()), ..had })
        };
        let of_copies = self.copies.iter().filter_map(of_copy);
        let of_mirrors = self.mirrors.iter().filter_map(|mirror| mirrored_bundle(*mirror, number, Width::FULL));
        (of_copies.chain(of_mirrors).find(|had| fits(&had.leaves)), Some(problem))
    }

    /// Who has hashes of a full tile, by number: the damaged database's row, the same from its entries, each copy, each
    /// mirror.
    pub(super) fn holders(&self) -> usize {
        2 + self.copies.len() + self.mirrors.len()
    }

    /// What one of them has; nobody knows whether it is right.
    pub(super) fn held_tile(&self, holder: usize, level: u8, number: u64) -> Option<Vec<Hash>> {
        match holder {
            0 => self.own.tile(level, number).ok(),
            1 => self.made_tile(level, number),
            _ => match self.copies.get(holder - 2) {
                Some((_, stored)) => stored.tile(level, number).ok(),
                None => mirrored_tile(*self.mirrors.get(holder - 2 - self.copies.len())?, level, number),
            },
        }
    }

    /// A tile's hashes from what stands below it.
    fn made_tile(&self, level: u8, number: u64) -> Option<Vec<Hash>> {
        let Some(below) = level.checked_sub(1) else {
            let of_copies =
                || self.copies.iter().find_map(|(_, stored)| Some(read_bundle(stored, number).ok()?.leaves));
            let of_mirrors = || {
                let mut had = self.mirrors.iter().filter_map(|mirror| mirrored_bundle(*mirror, number, Width::FULL));
                Some(had.next()?.leaves)
            };
            return read_bundle(&self.own, number).ok().map(|had| had.leaves).or_else(of_copies).or_else(of_mirrors);
        };
        let first = number.checked_mul(WIDTH)?;
        (first..first.checked_add(WIDTH)?).map(|child| self.tile_root(below, child, 0)).collect()
    }

    /// What a tile hashes to, by the first who has it, beginning with one of them.
    pub(super) fn tile_root(&self, level: u8, number: u64, first: usize) -> Option<Hash> {
        let others = (0..self.holders()).filter(|holder| *holder != first);
        let hashes = core::iter::once(first).chain(others).find_map(|holder| self.held_tile(holder, level, number))?;
        Some(perfect_root(&hashes))
    }

    /// What the first `width` entries of the unfinished bundle may be, by whom.
    pub(super) fn tails(&self, size: TreeSize) -> Vec<Had> {
        let (number, width) = (size.get() / WIDTH, (size.get() % WIDTH) as usize);
        if width == 0 {
            return vec![Had { encoded: Vec::new(), leaves: Vec::new(), from: None }];
        }
        let own = Holder { name: None, entries: entries_of(&self.own, self.own_store, number, width) };
        let of_copies = self.copies.iter().map(|(copy, stored)| Holder {
            name: Some(copy.name.clone()),
            entries: entries_of(stored, &copy.store, number, width),
        });
        let mut holders: Vec<Holder> = core::iter::once(own).chain(of_copies).collect();
        let mirrored = self.mirrors.iter().filter_map(|mirror| {
            let had = Width::new(width as u64).ok().and_then(|width| mirrored_bundle(*mirror, number, width))?;
            let entries = Entries::parse_batch(&had.encoded, width).ok()?;
            Some(Holder { name: had.from, entries: entries.iter().map(|entry| Some(entry.to_vec())).collect() })
        });
        holders.extend(mirrored);
        let mut tails = Vec::new();
        for first in 0..holders.len() {
            let order = core::iter::once(first).chain((0..holders.len()).filter(|other| *other != first));
            let order: Vec<_> = order.filter_map(|place| holders.get(place)).collect();
            tails.extend(joined(&order, width).filter(|tail| !tails.contains(tail)));
        }
        tails
    }
}

impl Tiles for &Parts<'_> {
    fn tile(&self, level: u8, number: u64, expected: &Hash) -> Option<Vec<Hash>> {
        let mut held = (0..self.holders()).filter_map(|holder| self.held_tile(holder, level, number));
        held.find(|hashes| perfect_root(hashes) == *expected)
    }
}

/// Each entry from the first who has it.
fn joined(order: &[&Holder], width: usize) -> Option<Had> {
    let (mut encoded, mut leaves, mut from) = (Vec::new(), Vec::new(), None);
    for place in 0..width {
        let has = |holder: &&Holder| Some((holder.name.clone(), holder.entries.get(place)?.clone()?));
        let (name, entry) = order.iter().find_map(has)?;
        Entries::encode(&entry, &mut encoded).ok()?;
        leaves.push(Hash::leaf(&entry));
        from = from.or(name);
    }
    Some(Had { encoded, leaves, from })
}

/// The entries of an unfinished bundle that can be read, from its pieces and, where it was finished since, its row.
fn entries_of(stored: &Stored<'_>, store: &RocksStore, number: u64, width: usize) -> Vec<Option<Vec<u8>>> {
    let first = number * WIDTH;
    let mut tail = Tail { first, found: vec![None; width] };
    if let Ok(Some(row)) = store.get(&stored.bundle_key(number)) {
        tail.take(first, &row);
    }
    let numbers = |kind, end| KeyRange::numbers(stored.log(), kind, first..end);
    // What can't be read is missing; nothing else can go wrong here.
    let pieces = numbers(Kind::Piece, first + width as u64);
    let _: Result<_, Infallible> = scan_past(store, pieces, &mut |key, row| {
        tail.take(key.number().unwrap_or_default(), &row);
        Ok(())
    });
    let parts = numbers(Kind::BundlePart, first + WIDTH);
    let _: Result<_, Infallible> = scan_past(store, parts, &mut |key, row| {
        tail.take_part(key.number().unwrap_or_default(), &row);
        Ok(())
    });
    // No scan comes past a block that has keys before and behind all of these. Those that stand in the write-ahead log, or in
    // other tables, are found where each is asked for.
    for index in first..first + WIDTH {
        if tail.is_whole() {
            break;
        }
        if let Ok(Some(row)) = store.get(&stored.piece_key(index)) {
            tail.take(index, &row);
        }
        if let Ok(Some(row)) = store.get(&Key::numbered(stored.log(), Kind::BundlePart, index)) {
            tail.take_part(index, &row);
        }
    }
    tail.found
}

/// What was found of an unfinished bundle.
struct Tail {
    first: u64,
    found: Vec<Option<Vec<u8>>>,
}

impl Tail {
    /// Takes entries that stand in a row, from this one on.
    fn take(&mut self, from: u64, encoded: &[u8]) {
        let Ok(entries) = Entries::parse_batch(encoded, Width::FULL.get()) else { return };
        for (index, entry) in (from..).zip(entries.iter()) {
            let place = index.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
            if let Some(slot) = place.and_then(|place| self.found.get_mut(place)) {
                slot.get_or_insert_with(|| entry.to_vec());
            }
        }
    }

    /// The same for a part, which stands under the index of its last entry.
    fn take_part(&mut self, last: u64, encoded: &[u8]) {
        let count = Entries::parse_batch(encoded, Width::FULL.get()).map_or(0, |entries| entries.len() as u64);
        self.take(last.saturating_add(1).saturating_sub(count), encoded);
    }

    fn is_whole(&self) -> bool {
        self.found.iter().all(Option::is_some)
    }
}

fn read_bundle(stored: &Stored<'_>, number: u64) -> Result<Had, String> {
    let encoded = stored.bundle(number, Width::FULL.get()).map_err(|error| error.to_string())?;
    let entries = Entries::parse_bundle(&encoded, Width::FULL).map_err(|error| error.to_string())?;
    let leaves = entries.leaf_hashes();
    Ok(Had { leaves, encoded, from: None })
}

fn mirrored_bundle(mirror: &dyn Mirror, number: u64, width: Width) -> Option<Had> {
    let path = BundleCoord::new(number, width).ok()?.to_string();
    let encoded = mirror.get(&path, BUNDLE_BYTES)?;
    let leaves = Entries::parse_bundle(&encoded, width).ok()?.leaf_hashes();
    Some(Had { leaves, encoded, from: Some(mirror.name().to_owned()) })
}

fn mirrored_tile(mirror: &dyn Mirror, level: u8, number: u64) -> Option<Vec<Hash>> {
    let path = TileCoord::new(level, number, Width::FULL).ok()?.to_string();
    tile_hashes(&mirror.get(&path, TILE_BYTES)?)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use cairn_rocks::Settings;
    use cairn_tree::store::LogId;

    use super::*;

    const ORIGIN: &str = "log.example/main";

    /// Serves one body under every path.
    struct OneBody(RefCell<Vec<u8>>);

    impl Mirror for &'static OneBody {
        fn name(&self) -> &str {
            "the mirror"
        }

        fn origin(&self) -> &str {
            ORIGIN
        }

        fn get(&self, _: &str, most: usize) -> Option<Vec<u8>> {
            Some(self.0.borrow().clone()).filter(|body| body.len() <= most)
        }
    }

    fn bundle(of: &str) -> Vec<u8> {
        let mut encoded = Vec::new();
        (0..WIDTH).for_each(|number| Entries::encode(format!("{of} {number}").as_bytes(), &mut encoded).unwrap());
        encoded
    }

    #[test]
    fn no_byte_of_a_mirrors_bundle_may_be_another() {
        let folder = tempfile::tempdir().unwrap();
        let store = RocksStore::create(&folder.path().join("db"), &Settings::default()).unwrap();
        let right = bundle("entry");
        let expected = perfect_root(&Entries::parse_bundle(&right, Width::FULL).unwrap().leaf_hashes());
        let mirror: &'static OneBody = Box::leak(Box::new(OneBody(RefCell::default())));
        let sources = Sources { copies: Vec::new(), mirrors: vec![Box::new(mirror)] };
        let parts = Parts::new(&store, &sources, Stored::new(&store, LogId::new(1)), ORIGIN);
        let ask = |body: Vec<u8>| {
            mirror.0.replace(body);
            parts.bundle(7, &expected).0
        };
        let had = ask(right.clone()).unwrap();
        assert_eq!((had.encoded, had.from.as_deref()), (right.clone(), Some("the mirror")));
        for at in 0..right.len() {
            for bit in [0, 3, 7] {
                let mut wrong = right.clone();
                wrong[at] ^= 1 << bit;
                assert_eq!(ask(wrong), None, "bit {bit} of byte {at}");
            }
            assert_eq!(ask(right[..at].to_vec()), None, "cut at {at}");
        }
        assert_eq!(ask([&right[..], &right[..]].concat()), None);
        assert_eq!(ask(bundle("another")), None);
        // One that says it has another log is not asked at all.
        assert!(
            Parts::new(&store, &sources, Stored::new(&store, LogId::new(1)), "else").bundle(7, &expected).0.is_none()
        );
    }
}
