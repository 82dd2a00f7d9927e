//! Databases that do not open as a whole, and rows that follow from nothing else: they come from what can be read, or from
//! a backup.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cairn_tests::http::{Connection, Request};
use cairn_tests::random::Random;
use cairn_tests::server::{program, run};

use super::{FAILED, MISSING, SOUND, Scene, let_go, repair, repair_json};
use crate::scene::copy;

/// The files of the database with this ending.
pub(super) fn with_ending(data: &Path, ending: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(data.join("db")).unwrap().map(|file| file.unwrap().path());
    let mut found: Vec<PathBuf> = files.filter(|file| file.to_string_lossy().ends_with(ending)).collect();
    found.sort();
    found
}

fn manifest(data: &Path) -> PathBuf {
    let named = fs::read_to_string(data.join("db/CURRENT")).unwrap();
    data.join("db").join(named.trim())
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// A repair with the scene's backups mends it, and it goes on; whether it was held before.
fn assert_mended(scene: &mut Scene, what: &str) -> bool {
    let refused = scene.data.try_serve();
    assert!(refused.is_err(), "{what}: the start did not refuse");
    let (code, said) = repair_json(scene.data.path(), &["--from", &scene.backups()]);
    assert_eq!((code, &said["mended"]), (SOUND, &true.into()), "{what}: {said}");
    let held = let_go(scene.data.path(), &said);
    let server = scene.data.serve();
    scene.assert_goes_on(&server);
    assert_eq!(server.stop().code, SOUND);
    scene.data.assert_sound();
    held
}

/// A repair of a database whose write-ahead log is whole has nothing to be unsure of.
fn assert_sure(said: &serde_json::Value) {
    let is_unsure = |wrong: &serde_json::Value| wrong["remedy"] == "unsure";
    assert!(!said["wrong"].as_array().unwrap().iter().any(is_unsure), "{said}");
}

#[test]
fn a_database_whose_manifest_is_damaged_is_mended() {
    let mut scene = Scene::new();
    scene.back_up();
    let path = manifest(scene.data.path());
    let middle = fs::metadata(&path).unwrap().len() as usize / 2;
    flip(&path, middle);
    let (_, said) = repair_json(scene.data.path(), &["--from", &scene.backups(), "--check"]);
    assert_sure(&said);
    assert!(!assert_mended(&mut scene, "a flipped manifest"));
}

/// What stands behind a bad block of a table, in the order of keys, may stand in the write-ahead log.
#[test]
fn no_bad_table_hides_what_came_after_it() {
    let mut scene = Scene::new();
    let create = ["log", "create", "second", "--data"];
    let made = run(Command::new(program("cairnd")).args(create).arg(scene.data.path()));
    assert_eq!(made.code, SOUND, "{made:?}");
    let append = |scene: &mut Scene, from: u8| {
        let server = scene.data.serve();
        // Rows of a log that comes behind the first one in the order of keys.
        let token = format!("Bearer {}", scene.data.token);
        let request = Request::post("/logs/second/add", vec![from]).with("authorization", token);
        assert_eq!(Connection::open(server.address()).unwrap().ask(&request).unwrap().status, 200);
        (from..from + 20).for_each(|number| scene.append(&server, format!("later {number}").as_bytes()));
        server.kill();
    };
    append(&mut scene, 0);
    // What a start replays is written to a table, so small that one block has rows of every kind.
    assert_eq!(scene.data.serve().stop().code, SOUND);
    scene.back_up();
    append(&mut scene, 20);
    let (tables, other, mut damaged) = (with_ending(scene.data.path(), ".sst"), scene.place("copy"), 0);
    for table in &tables {
        copy(scene.data.path(), &other);
        let path = other.join("db").join(table.file_name().unwrap());
        flip(&path, 50);
        let (code, said) = repair_json(&other, &["--from", &scene.backups()]);
        assert_eq!((code, &said["logs"][0]["size"]), (SOUND, &scene.oracle.newest().into()), "{table:?}: {said}");
        damaged += usize::from(said["mended"] == true);
        fs::remove_dir_all(&other).unwrap();
    }
    assert!(damaged > 0, "no fault fired: {tables:?}");
}

/// No table was written yet for most families of rows: their names stood in the manifest alone.
#[test]
fn a_lost_manifest_loses_nothing_that_stands_in_the_write_ahead_log_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = cairn_tests::server::Data::init(folder.path().join("data"));
    let mut oracle = cairn_tests::oracle::Oracle::new(&data.main);
    let server = data.serve();
    (0..300).for_each(|number| crate::scene::append(&server, &data, &mut oracle, &crate::scene::entry(number)));
    server.kill();
    fs::remove_file(manifest(data.path())).unwrap();
    assert!(data.try_serve().is_err(), "the start did not refuse");
    let (code, said) = repair_json(data.path(), &[]);
    assert_eq!((code, &said["mended"], &said["logs"][0]["size"]), (SOUND, &true.into(), &300.into()), "{said}");
    assert_sure(&said);
    assert_eq!(said["logs"][0]["held"], false, "{said}");
    data.assert_sound();
    let server = data.serve();
    let mut random = Random::for_test("a lost manifest");
    oracle.check(server.address(), &mut random).unwrap_or_else(|wrong| panic!("{wrong}"));
    oracle.check_every_entry(server.address()).unwrap_or_else(|wrong| panic!("{wrong}"));
    crate::scene::append(&server, &data, &mut oracle, b"it goes on");
    assert_eq!(server.stop().code, SOUND);
}

/// The manifest and the write-ahead log at once: of whole families of rows nothing is left, and a mirror has the entries.
#[test]
fn a_lost_manifest_and_a_damaged_write_ahead_log_are_mended_from_a_mirror() {
    let folder = tempfile::tempdir().unwrap();
    let data = cairn_tests::server::Data::init(folder.path().join("data"));
    let mut oracle = cairn_tests::oracle::Oracle::new(&data.main);
    let server = data.serve();
    (0..300).for_each(|number| crate::scene::append(&server, &data, &mut oracle, &crate::scene::entry(number)));
    server.kill();
    let copy = cairn_tests::server::Data::at(folder.path().join("copy"), &data);
    crate::scene::copy(data.path(), copy.path());
    fs::remove_file(manifest(data.path())).unwrap();
    let log = with_ending(data.path(), ".log").pop().unwrap();
    let length = fs::metadata(&log).unwrap().len() as usize;
    for part in 0..8 {
        flip(&log, 20 + part * length / 8);
    }
    let alone = repair(data.path(), &[]);
    assert!(alone.code == MISSING && !alone.stdout.contains("is not open"), "{alone:?}");
    let mirror = copy.serve();
    let (code, said) = repair_json(data.path(), &["--mirror", &mirror.log_url("main")]);
    assert!(code == SOUND && !said.to_string().contains("is not open"), "{said}");
    data.assert_sound();
    // The high-water file knows that it never had a policy.
    assert!(!let_go(data.path(), &said), "{said}");
    let server = data.serve();
    oracle.check_every_entry(server.address()).unwrap_or_else(|wrong| panic!("{wrong}"));
    crate::scene::append(&server, &data, &mut oracle, b"it goes on");
    assert_eq!(server.stop().code, SOUND);
}

#[test]
fn a_database_whose_manifest_and_its_name_are_gone_is_mended() {
    let mut scene = Scene::new();
    scene.back_up();
    fs::remove_file(manifest(scene.data.path())).unwrap();
    fs::remove_file(scene.data.path().join("db/CURRENT")).unwrap();
    assert!(!assert_mended(&mut scene, "no manifest"));
}

/// What is left of a manifest whose end is gone is refused, or does no harm where only its last records are.
#[test]
fn a_torn_manifest_is_refused_or_harmless_and_mended() {
    let scene = Scene::new();
    scene.back_up();
    let image = cairn_tests::server::Data::at(scene.place("image"), &scene.data);
    let (mut refused, mut harmless) = (0, 0);
    let length = fs::metadata(manifest(scene.data.path())).unwrap().len() as usize;
    for cut in (1..120).step_by(17).chain((1..8).map(|part| part * length / 8)) {
        if image.path().exists() {
            fs::remove_dir_all(image.path()).unwrap();
        }
        crate::scene::copy(scene.data.path(), image.path());
        let path = manifest(image.path());
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - cut]).unwrap();
        let server = match image.try_serve() {
            Ok(server) => {
                harmless += 1;
                server
            }
            Err(ended) => {
                assert_eq!(ended.code, FAILED, "{ended:?}");
                refused += 1;
                let mended = repair(image.path(), &["--from", &scene.backups()]);
                assert_eq!(mended.code, SOUND, "cut {cut}: {mended:?}");
                image.serve()
            }
        };
        let (mut oracle, mut random) = (scene.oracle.clone(), Random::for_test("a torn manifest"));
        oracle.check(server.address(), &mut random).unwrap_or_else(|wrong| panic!("cut {cut}: {wrong}"));
        assert_eq!(server.stop().code, SOUND);
    }
    assert!(refused > 0 && harmless > 0, "{refused} were refused, {harmless} did no harm");
}

/// Where the records of a manifest end, of which all fit one block.
fn record_ends(bytes: &[u8]) -> Vec<usize> {
    let (mut at, mut ends) = (0, Vec::new());
    while let Some(header) = bytes.get(at..at + 7) {
        at += 7 + usize::from(u16::from_le_bytes([header[4], header[5]]));
        ends.push(at);
    }
    ends
}

/// Such a manifest is whole in itself, and names an older state. What the lost records named is not removed, whoever looks at the
/// database, and is all that a repair needs.
#[test]
fn a_manifest_that_was_cut_between_two_records_costs_no_table_and_is_mended_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = cairn_tests::server::Data::init(folder.path().join("data"));
    let mut oracle = cairn_tests::oracle::Oracle::new(&data.main);
    let server = data.serve();
    (0..300).for_each(|number| crate::scene::append(&server, &data, &mut oracle, &crate::scene::entry(number)));
    // It writes what is in memory to tables.
    let backups = folder.path().join("backups").display().to_string();
    assert_eq!(cairn_tests::server::cairnd(data.path(), &["backup", "--to", &backups]).code, SOUND);
    (300..400).for_each(|number| crate::scene::append(&server, &data, &mut oracle, &crate::scene::entry(number)));
    server.kill();
    let whole = fs::read(manifest(data.path())).unwrap();
    assert!(whole.len() < 32 << 10);
    let image = cairn_tests::server::Data::at(folder.path().join("image"), &data);
    let (mut unnamed, mut refused) = (0, 0);
    for end in record_ends(&whole) {
        if image.path().exists() {
            fs::remove_dir_all(image.path()).unwrap();
        }
        crate::scene::copy(data.path(), image.path());
        fs::write(manifest(image.path()), &whole[..end]).unwrap();
        let tables = with_ending(image.path(), ".sst");
        if let Err(ended) = image.try_serve().map(|server| server.stop()) {
            refused += 1;
            unnamed += usize::from(ended.stderr.contains("does not name"));
            cairn_tests::server::cairnd(image.path(), &["fsck"]);
            assert_eq!(with_ending(image.path(), ".sst"), tables, "cut at {end}: {ended:?}");
            let (code, said) = repair_json(image.path(), &[]);
            assert_eq!((code, &said["mended"]), (SOUND, &true.into()), "cut at {end}: {said}");
            assert!(!let_go(image.path(), &said), "cut at {end}: {said}");
        }
        let server = image.serve();
        let checked = oracle.check_every_entry(server.address());
        checked.unwrap_or_else(|wrong| panic!("cut at {end}: {wrong}"));
        assert_eq!(server.stop().code, SOUND);
    }
    assert!(unnamed > 0, "of {refused} that were refused none was for its tables");
}

/// Nothing that stands where a table is to be, or where the database is, is taken for it, nor replaced.
#[test]
fn a_folder_for_a_table_and_a_link_for_the_database_are_refused() {
    let scene = Scene::new();
    let (database, elsewhere) = (scene.data.path().join("db"), scene.place("elsewhere"));
    fs::rename(&database, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &database).unwrap();
    let table = with_ending(scene.data.path(), ".sst").pop().unwrap();
    flip(&table, 10);
    let before = super::files(&elsewhere);
    let linked = repair(scene.data.path(), &[]);
    assert!(linked.code == FAILED && linked.stderr.contains("is a symbolic link"), "{linked:?}");
    assert!(database.is_symlink() && before == super::files(&elsewhere), "something was replaced");
    fs::remove_file(&database).unwrap();
    fs::rename(&elsewhere, &database).unwrap();
    fs::remove_file(&table).unwrap();
    fs::create_dir(&table).unwrap();
    // All tables are to be listed anew.
    fs::remove_file(manifest(scene.data.path())).unwrap();
    let name = table.file_name().unwrap().to_string_lossy().into_owned();
    let odd = repair(scene.data.path(), &[]);
    assert!(odd.code == FAILED && odd.stderr.contains(&format!("{name} in it is no file")), "{odd:?}");
    assert!(table.is_dir() && super::kept(scene.data.path()).is_empty(), "something was replaced");
}

#[test]
fn a_table_that_is_gone_is_mended() {
    for number in 0.. {
        let mut scene = Scene::new();
        scene.back_up();
        let tables = with_ending(scene.data.path(), ".sst");
        let Some(table) = tables.get(number) else {
            assert!(number > 2, "there were no tables");
            return;
        };
        fs::remove_file(table).unwrap();
        assert!(!assert_mended(&mut scene, &format!("table {number}, {}", table.display())), "table {number}: held");
    }
}

/// What stands in the write-ahead log alone is in no backup: another server of the log has it.
#[test]
fn a_damaged_write_ahead_log_is_mended_from_a_mirror_up_to_the_last_released_head() {
    let mut scene = Scene::new();
    scene.back_up();
    let server = scene.data.serve();
    (0..300).for_each(|number| scene.append(&server, format!("later {number}").as_bytes()));
    server.kill();
    let copy = cairn_tests::server::Data::at(scene.place("copy"), &scene.data);
    crate::scene::copy(scene.data.path(), copy.path());
    let log = with_ending(scene.data.path(), ".log").pop().unwrap();
    let length = fs::metadata(&log).unwrap().len() as usize;
    let mut random = Random::for_test("a damaged write-ahead log");
    (0..4).for_each(|_| flip(&log, length / 4 + random.below(length / 2)));
    assert!(scene.data.try_serve().is_err(), "the start did not refuse");
    let backups = scene.backups();
    assert_eq!(repair(scene.data.path(), &["--from", &backups]).code, MISSING);
    let mirror = copy.serve();
    let (code, said) = repair_json(scene.data.path(), &["--from", &backups, "--mirror", &mirror.log_url("main")]);
    assert_eq!(code, SOUND, "{said}");
    assert!(!let_go(scene.data.path(), &said), "{said}");
    let server = scene.data.serve();
    scene.assert_goes_on(&server);
}

#[test]
fn another_database_is_no_copy_and_a_missing_high_water_no_matter_for_a_repair() {
    let scene = Scene::new();
    let other = Scene::new();
    other.back_up();
    let foreign = repair(scene.data.path(), &["--from", &other.backups()]);
    assert!(foreign.code == FAILED && foreign.stderr.contains("is of another database"), "{foreign:?}");
    fs::remove_file(scene.data.path().join("high-water")).unwrap();
    let without = repair(scene.data.path(), &["--from", &other.backups()]);
    assert_eq!(without.code, FAILED, "{without:?}");
    let without = repair(scene.data.path(), &[]);
    assert!(without.code == FAILED && without.stderr.contains("there is no high-water file"), "{without:?}");
}

/// An older copy in the place of the newest: a repair brings back what was released since, from whoever has it, or changes
/// nothing; it never makes the log go on from the older state.
#[test]
fn an_older_copy_is_mended_up_to_the_high_water_or_not_at_all() {
    let mut scene = Scene::new();
    scene.back_up();
    let older = scene.place("older");
    crate::scene::copy(scene.data.path(), &older);
    let server = scene.data.serve();
    (0..40).for_each(|number| scene.append(&server, format!("since {number}").as_bytes()));
    assert_eq!(server.stop().code, SOUND);
    let newest = cairn_tests::server::Data::at(scene.place("newest"), &scene.data);
    crate::scene::copy(scene.data.path(), newest.path());
    fs::remove_dir_all(scene.data.path().join("db")).unwrap();
    crate::scene::copy(&older.join("db"), &scene.data.path().join("db"));
    let backups = scene.backups();
    let refused = repair(scene.data.path(), &["--from", &backups]);
    assert!(refused.code == MISSING && refused.stdout.contains("they are behind"), "{refused:?}");
    let mirror = newest.serve();
    let (code, said) = repair_json(scene.data.path(), &["--mirror", &mirror.log_url("main")]);
    assert_eq!(code, SOUND, "{said}");
    assert!(!let_go(scene.data.path(), &said), "that it has no policy is known: {said}");
    let server = scene.data.serve();
    scene.assert_goes_on(&server);
    assert_eq!(server.stop().code, SOUND);
    // The other way round, nobody knows what was released.
    fs::copy(older.join("high-water"), scene.data.path().join("high-water")).unwrap();
    let refused = repair(scene.data.path(), &["--from", &backups]);
    assert!(refused.code == FAILED && refused.stderr.contains("older than the database"), "{refused:?}");
}
