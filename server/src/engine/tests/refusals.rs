//! What is not opened: databases that are missing, locked, behind, changed or foreign, and keys that do not belong.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn open(data: &Path) -> Result<Engine, OpenError> {
    Engine::open(&options(data), Arc::new(SystemClock), Arc::new(Unobserved))
}

fn refusal(data: &Path) -> OpenError {
    open(data).err().unwrap()
}

/// A stopped database with 300 entries, and a copy of it from when it had 100.
fn stopped() -> (World, tempfile::TempDir) {
    let mut world = World::with_log("main");
    world.append("main", &numbered(0..100));
    world.stop();
    let old = tempfile::tempdir().unwrap();
    copy(world.path(), old.path());
    world.reopen().unwrap();
    world.append("main", &numbered(100..200));
    world.append("main", &numbered(200..300));
    world.stop();
    (world, old)
}

#[test]
fn a_missing_database_is_never_begun_anew() {
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(refusal(empty.path()), OpenError::Engine(cairn_rocks::OpenError::Missing(_))));
    let (world, _) = stopped();
    fs::remove_dir_all(world.path().join("db")).unwrap();
    assert!(matches!(refusal(world.path()), OpenError::Engine(cairn_rocks::OpenError::Missing(_))));
    assert!(!world.path().join("db").exists());
}

#[test]
fn a_second_process_does_not_get_in() {
    let world = World::with_log("main");
    assert!(matches!(refusal(world.path()), OpenError::Engine(cairn_rocks::OpenError::Locked { .. })));
}

#[test]
fn an_older_database_under_a_newer_high_water_is_refused() {
    let (world, old) = stopped();
    fs::remove_dir_all(world.path().join("db")).unwrap();
    copy(&old.path().join("db"), &world.path().join("db"));
    assert!(matches!(refusal(world.path()), OpenError::Behind { .. }));
    // And still at the second try.
    assert!(matches!(refusal(world.path()), OpenError::Behind { .. }));
}

#[test]
fn database_and_high_water_restored_together_are_accepted_for_only_others_can_tell() {
    let (_, old) = stopped();
    let engine = open(old.path()).unwrap();
    assert_eq!(engine.log("main").unwrap().head().size.get(), 100);
    engine.close();
}

#[test]
fn an_older_high_water_under_a_newer_database_is_refused() {
    let (world, old) = stopped();
    fs::copy(old.path().join("high-water"), world.path().join("high-water")).unwrap();
    assert!(matches!(refusal(world.path()), OpenError::OlderHighWater { .. }));
}

/// The one commit that a crash may leave in the database alone is signed and marked at the next start.
#[test]
fn a_high_water_that_lacks_only_the_last_commit_is_brought_up() {
    let mut world = World::with_log("main");
    world.append("main", &numbered(0..100));
    world.stop();
    let high_water = fs::read(world.path().join("high-water")).unwrap();
    world.reopen().unwrap();
    world.append("main", &numbered(100..101));
    world.stop();
    fs::write(world.path().join("high-water"), high_water).unwrap();
    world.reopen().unwrap();
    assert_eq!(world.engine.log("main").unwrap().head().size.get(), 101);
    world.append("main", &numbered(101..102));
    world.reopen().unwrap();
}

#[test]
fn a_missing_or_foreign_high_water_is_refused() {
    let (world, _) = stopped();
    let other = tempfile::tempdir().unwrap();
    Engine::create(&options(other.path()), DatabaseId::new([8; 16])).unwrap();
    fs::copy(other.path().join("high-water"), world.path().join("high-water")).unwrap();
    assert!(matches!(refusal(world.path()), OpenError::HighWater(_)));
    fs::remove_file(world.path().join("high-water")).unwrap();
    assert!(matches!(refusal(world.path()), OpenError::HighWater(_)));
}

#[test]
fn another_history_under_the_same_high_water_is_refused() {
    let (world, old) = stopped();
    // The same database, continued with other entries to the same size: a rewritten log.
    let engine = open(old.path()).unwrap();
    let log = engine.log("main").unwrap();
    for part in [100..200, 200..300] {
        let forged: Vec<Vec<u8>> = part.map(|n| format!("forged {n}").into_bytes()).collect();
        let batch = EntryBatch::from_entries(forged.iter().map(Vec::as_slice)).unwrap();
        world.runtime.block_on(log.append(batch, None)).unwrap();
    }
    engine.close();
    drop((log, engine));
    fs::remove_dir_all(world.path().join("db")).unwrap();
    copy(&old.path().join("db"), &world.path().join("db"));
    let refused = refusal(world.path());
    assert!(matches!(refused, OpenError::Changed { .. }), "{refused}");
}

#[test]
fn lost_changed_and_open_key_files_are_refused() {
    let (world, _) = stopped();
    let path = world.path().join("keys/main.skey");
    let text = fs::read_to_string(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(
        refusal(world.path()),
        OpenError::Keys(KeyRingError::File { error: KeyFileError::Mode { mode: 0o640, .. }, .. })
    ));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, text.replace("PRIVATE", "private")).unwrap();
    assert!(matches!(
        refusal(world.path()),
        OpenError::Keys(KeyRingError::File { error: KeyFileError::Damaged { .. }, .. })
    ));
    fs::write(&path, format!("{}\n", *signer("main", 9).to_skey())).unwrap();
    assert!(matches!(refusal(world.path()), OpenError::Keys(KeyRingError::OtherKey { .. })));
    fs::remove_file(&path).unwrap();
    assert!(matches!(
        refusal(world.path()),
        OpenError::Keys(KeyRingError::File { error: KeyFileError::Missing(_), .. })
    ));
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    open(world.path()).unwrap().close();
}

/// Else the name could not be used until somebody removed the half that was written.
#[test]
fn half_a_pair_of_key_files_is_not_left() {
    let folder = tempfile::tempdir().unwrap();
    let keys = options(folder.path()).key_files();
    keys.write(&first_key("other"), &signer("other", 2)).unwrap();
    fs::write(keys.public_path(&first_key("main")), "in the way").unwrap();
    assert!(matches!(keys.write(&first_key("main"), &signer("main", 1)), Err(KeyFileError::Exists(_))));
    assert!(!keys.private_path(&first_key("main")).exists());
    fs::remove_file(keys.public_path(&first_key("main"))).unwrap();
    keys.write(&first_key("main"), &signer("main", 1)).unwrap();
    assert_eq!(keys.read(&first_key("main")).unwrap().verifier_key(), signer("main", 1).verifier_key());
}

#[test]
fn a_log_never_shares_its_name_key_or_origin() {
    let mut world = World::with_log("main");
    let exists = world.create(terms("main"), 2).unwrap_err();
    assert!(matches!(exists, CreateLogError::Create(CreateError::Exists(_))));
    let same_key = world.create(terms("twin"), 1).unwrap_err();
    assert!(matches!(same_key, CreateLogError::Create(CreateError::Shared(_))));
    assert!(!world.path().join("keys/twin.skey").exists());
    assert!(world.engine.log("twin").is_none());
    world.create(terms("twin"), 3).unwrap();
    world.reopen().unwrap();
}

#[test]
fn a_full_pool_refuses_and_a_low_disk_stops_appends_but_not_reads() {
    let mut world = World::with_log("main");
    world.append("main", &numbered(0..5));
    world.stop();
    let low = EngineOptions { disk_reserve: u64::MAX, ..options(world.path()) };
    world.engine = Engine::open(&low, Arc::new(SystemClock), Arc::new(Unobserved)).unwrap();
    assert!(matches!(world.try_append("main", &numbered(5..6), None), Err(AppendError::DiskReserve { .. })));
    world.check("main");
    world.stop();
    let narrow = EngineOptions { pool: PoolBounds { requests: 0, bytes: 0 }, ..options(world.path()) };
    world.engine = Engine::open(&narrow, Arc::new(SystemClock), Arc::new(Unobserved)).unwrap();
    assert!(matches!(world.try_append("main", &numbered(5..6), None), Err(AppendError::QueueFull)));
    world.check("main");
}
