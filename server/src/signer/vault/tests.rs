//! A vault asked directly: what it signs twice, which keys it keeps, and what a crash leaves of its folder.

use cairn_tree::merkle::MemoryTree;
use cairn_tree::note::{KeyName, SignatureType};
use cairn_tree::statement::{KeyChange, KeyStatement};

use super::*;

const ORIGIN: &str = "example.com/logs/main";

fn key(seed: u8) -> SignerKey {
    SignerKey::from_seed(KeyName::new(ORIGIN).unwrap(), SignatureType::ED25519, &[seed; 32]).unwrap()
}

fn vkey(seed: u8) -> String {
    key(seed).verifier_key().to_string()
}

/// A vault in its folder.
struct World {
    folder: tempfile::TempDir,
    vault: Vault,
}

/// The tree of the log's first entries.
fn tree(size: u64) -> MemoryTree {
    let mut tree = MemoryTree::new();
    let leaves: Vec<Hash> = (0..size).map(|leaf| Hash::leaf(&leaf.to_be_bytes())).collect();
    tree.extend(&leaves).unwrap();
    tree
}

fn root(size: u64) -> Root {
    tree(size).root()
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Vault::create(folder.path(), DatabaseId::new([3; 16])).unwrap();
        let vault = Vault::open(folder.path()).unwrap();
        Self { folder, vault }
    }

    /// Asks for a head as a server does that has made `released` durable.
    fn sign(&mut self, released: u64, size: u64, keys: &[String]) -> Result<Vec<NoteSignature>, SignerError> {
        let origin = Origin::new(ORIGIN).unwrap();
        let (old, new) = (root(released), root(size));
        let head =
            HeadToSign { origin: &origin, old, new, time_ms: size, prove: &|_| Err("it is not asked for".to_owned()) };
        let mut from = released;
        for _ in 0..2 {
            let proof = tree(size).prove_consistency(TreeSize::new(from).unwrap());
            let proof = proof.unwrap_or_else(|_| ConsistencyProof::from_hashes(vec![]).unwrap());
            match self.vault.sign_head(&head, (from, &proof), keys, 1_000)? {
                Judged::Signed(lines) => return Ok(lines),
                Judged::From(last) => from = last.size.get(),
            }
        }
        panic!("it asks for one proof after the other");
    }

    fn reopen(mut self) -> Self {
        drop(self.vault);
        self.vault = Vault::open(self.folder.path()).unwrap();
        self
    }
}

#[test]
fn the_head_that_the_server_has_made_durable_is_signed_again_however_often_it_crashes_behind_it() {
    let mut world = World::new();
    world.vault.new_key(key(1), 0).unwrap();
    let keys = [vkey(1)];
    world.sign(0, 10, &keys).unwrap();
    let first = world.sign(10, 20, &keys).unwrap();
    // It never made 20 durable, and ends three times behind a larger one.
    for size in [30, 40, 50] {
        world = world.reopen();
        world.sign(10, 10, &keys).unwrap();
        world.sign(10, size, &keys).unwrap();
        assert!(matches!(world.sign(10, 20, &keys), Err(SignerError::Refused(_))));
    }
    // Now it has: there is no way back behind it.
    world.sign(50, 60, &keys).unwrap();
    assert!(matches!(world.sign(10, 10, &keys), Err(SignerError::Refused(_))));
    let again = world.sign(50, 50, &keys).unwrap();
    assert_ne!(again, first);
    // A lie about what is durable gets nobody a head that was not signed before.
    world.sign(77, 70, &keys).unwrap();
    for size in [77, 20, 5] {
        let mut root = root(size);
        root.hash = Hash::leaf(b"forged");
        let origin = Origin::new(ORIGIN).unwrap();
        let head = HeadToSign { origin: &origin, old: root, new: root, time_ms: 0, prove: &|_| Err(String::new()) };
        let none = ConsistencyProof::from_hashes(vec![]).unwrap();
        let judged = world.vault.sign_head(&head, (size, &none), &keys, 1_000);
        assert!(!matches!(judged, Ok(Judged::Signed(_))), "{judged:?}");
    }
}

#[test]
fn any_number_of_rotations_is_no_matter_as_long_as_old_keys_retire() {
    let mut world = World::new();
    world.vault.new_key(key(1), 0).unwrap();
    world.sign(0, 1, &[vkey(1)]).unwrap();
    for seed in 2..60_u8 {
        assert_eq!(world.vault.new_key(key(seed), 0).unwrap(), *key(seed).verifier_key());
        let (last, size) = (u64::from(seed) - 1, u64::from(seed));
        world.sign(last, size, &[vkey(seed - 1), vkey(seed)]).unwrap();
        // Now the old one retires; it signs the entry that says so.
        let (origin, id) = (Origin::new(ORIGIN).unwrap(), DatabaseId::new([3; 16]));
        let before = [seed - 1, seed].map(|seed| key(seed).verifier_key().clone()).to_vec();
        let changed = (before[0].clone(), KeyChange::Retired);
        let statement = KeyStatement::new(origin, id, TreeSize::new(size + 1).unwrap(), before, changed).unwrap();
        let text = Statement::Key(statement).text();
        world.vault.sign_statement(&text, &[vkey(seed - 1), vkey(seed)]).unwrap();
        world.sign(size, size, &[vkey(seed)]).unwrap();
    }
    let files = |world: &World| KeyFiles::new(world.folder.path().join("keys")).private_files().unwrap().len();
    let most = 1 + RETIRED_KEYS + 1;
    assert!(files(&world) <= most, "{} key files", files(&world));
    assert_eq!(world.vault.keys_of(ORIGIN).unwrap().len(), files(&world));
    let mut world = world.reopen();
    assert_eq!(world.vault.keys_of(ORIGIN).unwrap().len(), files(&world));
    world.sign(59, 60, &[vkey(59)]).unwrap();
}

#[test]
fn live_keys_are_never_forgotten_and_no_more_of_them_are_made_than_can_sign() {
    let mut world = World::new();
    let keys: Vec<String> = (1..=LIVE_KEYS as u8).map(vkey).collect();
    for (number, size) in (1..=LIVE_KEYS as u8).zip(1..) {
        world.vault.new_key(key(number), 0).unwrap();
        world.sign(size - 1, size, &keys[..usize::from(number)]).unwrap();
    }
    let refused = world.vault.new_key(key(99), 0).unwrap_err();
    assert!(matches!(&refused, VaultError::Conflict(reason) if reason.contains("--retire")), "{refused}");
    let mut world = world.reopen();
    world.sign(16, 17, &keys).unwrap();
    // One signs no more: now there is room.
    world.sign(17, 18, &keys[1..]).unwrap();
    world.vault.new_key(key(99), 0).unwrap();
}

#[test]
fn the_list_is_bounded_and_a_refused_key_leaves_nothing() {
    let mut world = World::new();
    world.vault.new_key(key(1), 0).unwrap();
    let line = |number: usize| KeyLine { vkey: format!("key {number}"), fresh: true, retired: false };
    let entry = |number: u32| Entry { number, origin: format!("log {number}"), keys: (0..16).map(line).collect() };
    world.vault.index.logs.extend((2..=index::KEYS as u32 / 16).map(entry));
    // Fifteen places are left.
    let other = |seed: u8| {
        let name = KeyName::new(format!("example.com/logs/{seed}")).unwrap();
        SignerKey::from_seed(name, SignatureType::ED25519, &[seed; 32]).unwrap()
    };
    for seed in 2..17 {
        world.vault.new_key(other(seed), 0).unwrap();
    }
    let files = || KeyFiles::new(world.folder.path().join("keys")).private_files().unwrap().len();
    let before = (files(), world.vault.index.clone());
    assert!(matches!(world.vault.new_key(other(17), 0), Err(VaultError::Conflict(_))));
    assert_eq!((files(), world.vault.index.clone()), before);
}

#[test]
fn a_folder_that_was_made_half_is_finished_and_one_that_lost_something_is_not_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let [dir, id] = [folder.path().join("signer"), folder.path().join("other")];
    Vault::create(&dir, DatabaseId::new([3; 16])).unwrap();
    assert!(matches!(Vault::create(&dir, DatabaseId::new([4; 16])), Err(VaultError::Exists(_))));
    // The list was made, and the state was not.
    std::fs::remove_file(dir.join(HIGH_WATER)).unwrap();
    std::fs::write(dir.join("high-water.new"), "half").unwrap();
    assert!(matches!(Vault::open(&dir), Err(VaultError::Missing(_))));
    Vault::create(&dir, DatabaseId::new([4; 16])).unwrap();
    let mut vault = Vault::open(&dir).unwrap();
    vault.new_key(key(1), 0).unwrap();
    drop(vault);
    // Once there is a log, a lost state is a lost state.
    std::fs::rename(dir.join(HIGH_WATER), &id).unwrap();
    assert!(matches!(Vault::create(&dir, DatabaseId::new([4; 16])), Err(VaultError::Exists(_))));
    assert!(matches!(Vault::open(&dir), Err(VaultError::State(_))));
    std::fs::rename(&id, dir.join(HIGH_WATER)).unwrap();
    // So is a lost list.
    std::fs::remove_file(dir.join(INDEX)).unwrap();
    assert!(matches!(Vault::create(&dir, DatabaseId::new([4; 16])), Err(VaultError::NoIndex(_))));
}

#[test]
fn no_changed_bit_of_the_list_passes() {
    let mut world = World::new();
    let last = Mark { size: TreeSize::new(5).unwrap(), root: root(5).hash, time_ms: 7 };
    let origin = Origin::new(ORIGIN).unwrap();
    world.vault.import(&origin, HandedOver { active: vec![key(1)], retired: vec![key(3)], last }).unwrap();
    let path = world.folder.path().join(INDEX);
    let whole = std::fs::read(&path).unwrap();
    for bit in 0..8 * whole.len() {
        let mut bad = whole.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, bad).unwrap();
        let read = Index::read(world.folder.path());
        assert!(matches!(read, Err(VaultError::Damaged { .. })), "bit {bit}: {read:?}");
    }
    std::fs::write(&path, whole).unwrap();
    assert_eq!(world.reopen().vault.keys_of(ORIGIN).unwrap().len(), 2);
}

/// Every state that a crash leaves of an import is one of these: so many files written, and the state, or not.
#[test]
fn an_import_that_was_cut_short_is_finished_by_the_next_one() {
    for kept in 0..4 {
        let mut world = World::new();
        let last = Mark { size: TreeSize::new(5).unwrap(), root: root(5).hash, time_ms: 7 };
        let from = || HandedOver { active: vec![key(1), key(2)], retired: vec![key(3)], last };
        let origin = Origin::new(ORIGIN).unwrap();
        let index = std::fs::read(world.folder.path().join(INDEX)).unwrap();
        world.vault.import(&origin, from()).unwrap();
        // Back to before the list was written.
        let folder = world.folder.path().to_owned();
        std::fs::write(folder.join(INDEX), index).unwrap();
        let files = KeyFiles::new(folder.join("keys"));
        for path in files.private_files().unwrap().into_iter().skip(kept) {
            // Cut short itself, or never there.
            if kept % 2 == 0 { std::fs::remove_file(path).unwrap() } else { std::fs::write(path, "").unwrap() }
        }
        let mut world = world.reopen();
        assert!(world.vault.logs().is_empty());
        for _ in 0..2 {
            world.vault.import(&origin, from()).unwrap();
        }
        let mut world = world.reopen();
        assert_eq!(world.vault.keys_of(ORIGIN).unwrap().len(), 3);
        world.sign(5, 6, &[vkey(1), vkey(2)]).unwrap();
        // A copy of the database that is older is not taken for the log, and a later one with another key is.
        let behind = world.vault.import(&origin, from());
        assert!(matches!(&behind, Err(VaultError::Conflict(reason)) if reason.contains("older copy")), "{behind:?}");
        let last = Mark { size: TreeSize::new(6).unwrap(), root: root(6).hash, time_ms: 7 };
        world.vault.import(&origin, HandedOver { active: vec![key(4)], retired: Vec::new(), last }).unwrap();
        world.sign(6, 7, &[vkey(4)]).unwrap();
    }
}
