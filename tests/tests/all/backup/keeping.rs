//! Old generations that stay as long as the newer ones are no good.

use std::fs;

use cairn_tests::oracle::Oracle;
use cairn_tests::random::Random;
use cairn_tests::server::Data;

use super::{Scene, backup, list};
use crate::damage::{flip_in_tables, get, in_tables, long, marked, wait_for};

impl Scene {
    /// A database whose entries are in tables, a good generation of it, and the mark of entry 300.
    fn in_tables() -> (Self, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let (data, oracle, mark) = in_tables(&folder);
        // What a start replays is written to tables.
        assert_eq!(data.serve().stop().code, Some(0));
        let scene = Self { folder, data, oracle: std::sync::Arc::new(std::sync::Mutex::new(oracle)) };
        scene.back_up(&[]);
        (scene, mark)
    }

    fn numbers(&self) -> Vec<u64> {
        list(&self.dest()).iter().map(|one| one["generation"].as_u64().unwrap()).collect()
    }
}

/// The good generation is what the database is mended from.
#[test]
fn the_last_good_generation_outlives_backups_of_a_database_with_known_damage() {
    let (scene, mark) = Scene::in_tables();
    let server = scene.data.serve();
    assert!(flip_in_tables(scene.data.path(), &mark) > 0, "the fault did not fire");
    wait_for("the halt", || get(&server, "/readyz").text().contains("log main: halted"));
    // Beside the server, and without it.
    let mut server = Some(server);
    for number in [2, 3] {
        let made = backup(scene.data.path(), &scene.dest(), &["--keep", "1"]);
        assert_eq!(made.code, Some(1), "{made:?}");
        for words in [
            format!("generation {number} is not good: it is of a database that was known to be damaged: "),
            "log main: bundle (entries 256 to before 512)".to_owned(),
            format!("generation {number} is made, but NOT REMOVED: generation 1"),
        ] {
            assert!(made.stdout.contains(&words), "{made:?}");
        }
        if let Some(server) = server.take() {
            assert_eq!(server.stop().code, Some(0));
        }
    }
    let made = backup(scene.data.path(), &scene.dest(), &["--keep", "1", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&made.stdout).unwrap();
    assert_eq!((made.code, &told["not_removed"]), (Some(1), &serde_json::json!([1, 2, 3])), "{told}");
    assert_eq!(told["not_good"][0]["generation"], 4, "{told}");
    let damage = told["damage"].as_array().unwrap();
    assert!(damage.iter().any(|one| one.as_str().unwrap().contains("log main: bundle")), "{told}");
    assert_eq!(scene.restore("@1", "good", &[])["size"], 600);
    assert_eq!(scene.try_restore("@4", "bad", &[]).code, Some(1));
    let dest = scene.dest().display().to_string();
    let mended = cairn_tests::server::cairnd(scene.data.path(), &["repair", "--from", &format!("{dest}@1")]);
    assert_eq!(mended.code, Some(0), "{mended:?}");
    // Those of the damaged database count for nothing, and go with the rest.
    let made = scene.back_up(&[]);
    assert!(made["damage"].is_null(), "{made}");
    assert_eq!(scene.back_up(&["--keep", "2"])["removed"], serde_json::json!([1, 2, 3, 4]));
    assert_eq!(scene.numbers(), [5, 6]);
}

/// Of a loss that nobody can mend the operator says that he knows of it, in the words in which it was told. It is told each time
/// all the same, and whatever comes after it is no part of that.
#[test]
fn damage_that_is_accepted_by_its_words_does_not_keep_old_generations() {
    let (scene, mark) = Scene::in_tables();
    let server = scene.data.serve();
    assert!(flip_in_tables(scene.data.path(), &mark) > 0, "the fault did not fire");
    wait_for("the halt", || get(&server, "/readyz").text().contains("log main: halted"));
    wait_for("the finding", || crate::damage::figure(&server, "cairn_scrub_findings_total") >= 1.0);
    assert_eq!(server.stop().code, Some(0));
    let known = scene.back_up(&[])["damage"].as_array().unwrap().clone();
    let words: Vec<&str> = known.iter().map(|one| one.as_str().unwrap()).collect();
    assert!(!words.is_empty());
    let accepting = |words: &[&str]| {
        let accepted = words.iter().flat_map(|one| ["--accept-damage", one]);
        let more: Vec<&str> = ["--keep", "1", "--json"].into_iter().chain(accepted).collect();
        let made = backup(scene.data.path(), &scene.dest(), &more);
        (made.code, serde_json::from_str::<serde_json::Value>(&made.stdout).unwrap())
    };
    let part = &words[0][..words[0].len() - 1];
    for wrong in [&[][..], &[part], &["log main"]] {
        let (code, told) = accepting(wrong);
        assert!(code == Some(1) && told["removed"].is_null() && told["accepted"].is_null(), "{told}");
    }
    let alone = backup(scene.data.path(), &scene.dest(), &["--accept-damage", words[0]]);
    assert_eq!(alone.code, Some(2), "{alone:?}");
    let (code, told) = accepting(&words);
    assert_eq!((code, &told["removed"]), (Some(0), &serde_json::json!([1, 2, 3, 4, 5])), "{told}");
    assert_eq!((&told["accepted"][0]["generation"], &told["damage"]), (&6.into(), &known.into()), "{told}");
    let refused = scene.try_restore("", "damaged", &[]);
    assert_eq!(refused.code, Some(1), "what is accepted is damaged all the same: {refused:?}");
}

/// What the writer finds when the server starts has no incident, and the same words each time but for their digest.
#[test]
fn a_second_halt_is_not_accepted_by_the_words_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::init(folder.path().join("data"));
    data.set_limit("scrub_bytes_per_second", 0);
    let (mut oracle, mut random) = (Oracle::new(&data.main), Random::for_test("second halt"));
    let mark = marked(&mut random);
    let server = data.serve();
    for number in 0..20 {
        let bytes = if number == 15 { mark.clone() } else { long(number) };
        crate::scene::append(&server, &data, &mut oracle, &bytes);
    }
    server.kill();
    // What a start replays is written to tables.
    assert_eq!(data.serve().stop().code, Some(0));
    let scene = Scene { folder, data, oracle: std::sync::Arc::new(std::sync::Mutex::new(oracle)) };
    scene.back_up(&[]);
    let halted = || {
        assert!(flip_in_tables(scene.data.path(), &mark) > 0, "the fault did not fire");
        let server = scene.data.serve();
        assert!(get(&server, "/readyz").text().contains("log main: halted"), "{}", get(&server, "/readyz").text());
        assert_eq!(server.stop().code, Some(0));
        let damage = scene.back_up(&[])["damage"].as_array().unwrap().clone();
        assert!(
            damage.len() == 1 && damage[0].as_str().unwrap().starts_with("log main: halted for damage"),
            "{damage:?}"
        );
        damage[0].as_str().unwrap().to_owned()
    };
    let accepting = |words: &str| {
        let made = backup(scene.data.path(), &scene.dest(), &["--keep", "1", "--json", "--accept-damage", words]);
        (made.code, serde_json::from_str::<serde_json::Value>(&made.stdout).unwrap())
    };
    let first = halted();
    let good = format!("{}@1", scene.dest().display());
    let mended = cairn_tests::server::cairnd(scene.data.path(), &["repair", "--from", &good]);
    assert_eq!(mended.code, Some(0), "{mended:?}");
    let second = halted();
    let (code, told) = accepting(&first);
    assert!(code == Some(1) && told["removed"].is_null(), "{told}");
    assert_eq!(told["not_removed"], serde_json::json!([1, 2, 3]), "{told}");
    let (code, told) = accepting(&second);
    assert_eq!((code, &told["removed"]), (Some(0), &serde_json::json!([1, 2, 3, 4])), "{told}");
}

/// A generation that has rotted is none of those that are kept for their worth.
#[test]
fn a_generation_that_rots_is_not_counted_and_a_damaged_manifest_is_told() {
    let scene = Scene::new();
    (1..=3).for_each(|_| drop(scene.back_up(&[])));
    let bent = scene.dest().join("generations/000003/high-water");
    let mut bytes = fs::read(&bent).unwrap();
    bytes[9] ^= 1;
    fs::write(&bent, bytes).unwrap();
    let made = backup(scene.data.path(), &scene.dest(), &["--keep", "2"]);
    assert!(
        made.code == Some(1) && made.stdout.contains("generation 3 is not good: the backup is damaged"),
        "{made:?}"
    );
    assert!(made.stdout.contains("generation 1 is removed"), "{made:?}");
    assert!(made.stdout.contains("generation 4 is made, but NOT REMOVED: generation 2"), "{made:?}");
    assert_eq!(scene.numbers(), [2, 3, 4]);
    fs::write(scene.dest().join("generations/000004/manifest"), b"damaged").unwrap();
    let made = backup(scene.data.path(), &scene.dest(), &["--keep", "2"]);
    assert!(made.code == Some(1) && made.stdout.contains("generation 4 is not good: the manifest"), "{made:?}");
    assert!(made.stdout.contains("generation 5 is made, but NOT REMOVED: generation 2, 3"), "{made:?}");
    // Past so many good ones nobody asks for them any more.
    assert_eq!(scene.back_up(&["--keep", "2"])["removed"], serde_json::json!([2, 3, 4]));
}
