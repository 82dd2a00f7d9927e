//! kill -9 at the calls of a repair that change a file, and a disk on which nothing can be written any more: a start
//! afterwards serves what is good of the damaged database, or all of the mended one.

use std::fs;
use std::process::Command;

use cairn_tests::preload::{Calls, Class, Deed};
use cairn_tests::random::Random;
use cairn_tests::server::{Data, Ended, program, run};

use super::{MISSING, SOUND, Scene, flip_in_tables, get, kept, repair};

/// Of the calls that make the new database every so many-th is killed; of those that decide and swap, each.
const EVERY: u64 = 7;
/// The last calls of a repair: those that decide, rename, write incidents down, and clear up.
const LAST: u64 = 40;

/// A damaged database, a backup of it, and a copy that may be broken.
struct Broken {
    scene: Scene,
    image: Data,
}

impl Broken {
    fn new() -> Self {
        let scene = Scene::new();
        scene.back_up();
        assert!(flip_in_tables(scene.data.path(), &scene.mark) > 0, "the fault did not fire");
        let image = Data::at(scene.place("image"), &scene.data);
        Self { scene, image }
    }

    fn anew(&self) {
        if self.image.path().exists() {
            fs::remove_dir_all(self.image.path()).unwrap();
        }
        crate::scene::copy(self.scene.data.path(), self.image.path());
    }

    /// A repair in which something happens at a call; how it ended, and at how many calls.
    fn repair_with(&self, deed: Deed, at: u64, every: u64) -> (Ended, u64, Calls) {
        let calls = Calls::new(self.image.path(), &self.scene.place("calls"), (Class::Change, deed)).unwrap();
        if at > 0 {
            calls.arm(at, every).unwrap();
        }
        let mut command = Command::new(program("cairnd"));
        command.args(["repair", "--from", &self.scene.backups(), "--data"]).arg(self.image.path());
        command.envs(calls.environment(&[]));
        let ended = run(&mut command);
        let made = calls.calls().unwrap();
        (ended, made, calls)
    }

    /// A start serves nothing that is wrong, and after another repair everything.
    fn assert_safe(&mut self, what: &str) {
        let server = self.image.serve();
        let was_mended = kept(self.image.path()).iter().any(|name| name.starts_with("db.damaged-"));
        let damaged = get(&server, "/logs/main/entries/300");
        assert!(!self.image.path().join("repair.json").exists(), "{what}: a start left it undecided");
        assert_eq!(server.stop().code, SOUND, "{what}");
        if was_mended {
            assert_eq!((damaged.status, &damaged.body), (200, &self.scene.mark), "{what}");
        } else {
            assert_eq!(damaged.status, 500, "{what}: {}", damaged.text());
            let mended = repair(self.image.path(), &["--from", &self.scene.backups()]);
            assert_eq!(mended.code, SOUND, "{what}: {mended:?}");
        }
        let server = self.image.serve();
        let (mut oracle, mut random) = (self.scene.oracle.clone(), Random::for_test("repair"));
        oracle.check(server.address(), &mut random).unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
        crate::scene::append(&server, &self.image, &mut oracle, b"it goes on");
        server.kill();
        let left = kept(self.image.path());
        assert!(left.len() == 1 && left[0].starts_with("db.damaged-"), "{what}: {left:?}");
        let again = repair(self.image.path(), &["--check"]);
        assert_eq!(again.code, SOUND, "{what}: {again:?}");
    }
}

#[test]
fn a_repair_that_is_killed_at_any_call_is_finished_or_never_was() {
    let mut broken = Broken::new();
    broken.anew();
    let (whole, total, _) = broken.repair_with(Deed::KillBefore, 0, 0);
    assert_eq!(whole.code, SOUND, "{whole:?}");
    assert!(total > LAST, "only {total} calls");
    let points = (1..=total).filter(|at| at % EVERY == 0 || at + LAST > total);
    let mut killed = 0;
    for at in points {
        let deed = [Deed::KillBefore, Deed::KillHalf, Deed::KillAfter][at as usize % 3];
        broken.anew();
        let (ended, _, calls) = broken.repair_with(deed, at, 0);
        if calls.fired().unwrap() == 0 {
            // Threads of RocksDB make a few calls more or less.
            assert_eq!(ended.code, SOUND, "{ended:?}");
            continue;
        }
        killed += 1;
        broken.assert_safe(&format!("{deed:?} at call {at} of {total}: {}", calls.place().unwrap()));
    }
    assert!(killed >= 30, "only {killed} kills");
}

#[test]
fn a_disk_that_is_full_at_any_call_fails_the_repair_and_nothing_else() {
    let mut broken = Broken::new();
    broken.anew();
    let (whole, total, _) = broken.repair_with(Deed::Fail("ENOSPC"), 0, 0);
    assert_eq!(whole.code, SOUND, "{whole:?}");
    let (mut failed, mut decided) = (0, 0);
    for at in (1..=total).filter(|at| at % (3 * EVERY) == 1 || at + LAST / 2 > total) {
        broken.anew();
        let (ended, _, calls) = broken.repair_with(Deed::Fail("ENOSPC"), at, 1);
        assert!(ended.code.is_some_and(|code| [0, 1].contains(&code)), "{ended:?}");
        if calls.fired().unwrap() > 0 {
            failed += 1;
            decided += usize::from(assert_told_what_was_changed(&broken, &ended));
            broken.assert_safe(&format!("ENOSPC from call {at} of {total} on: {}", calls.place().unwrap()));
        }
    }
    assert!(failed >= 10, "only {failed} failures");
    assert!(decided > 0 && decided < failed, "{decided} of {failed} after it was decided");
}

/// A repair that failed says what it has changed; whether it had been decided by then.
fn assert_told_what_was_changed(broken: &Broken, ended: &Ended) -> bool {
    let is_decided = broken.image.path().join("repair.json").exists();
    if ended.code == SOUND {
        return false;
    }
    let words = ["this repair has changed nothing", "takes the damaged one's place with the next start"];
    let told = words.map(|words| ended.stderr.contains(words));
    assert_eq!(told, [!is_decided, is_decided], "{ended:?}");
    is_decided
}

/// What the first one has at hand stays there.
#[test]
fn a_second_repair_waits_for_nothing_and_touches_nothing() {
    let broken = Broken::new();
    broken.anew();
    let data = broken.image.path();
    let link = data.join("repair.sources/0/db/CURRENT");
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    fs::write(&link, "of the first").unwrap();
    let first = fs::File::create(data.join("repair.lock")).unwrap();
    first.lock().unwrap();
    let second = repair(data, &["--from", &broken.scene.backups()]);
    assert!(second.code == Some(1) && second.stderr.contains("this repair has changed nothing"), "{second:?}");
    assert!(second.stderr.contains("is under way"), "{second:?}");
    assert_eq!(fs::read(&link).unwrap(), b"of the first");
    drop(first);
    let third = repair(data, &["--from", &broken.scene.backups()]);
    assert!(third.code == SOUND && !link.exists(), "{third:?}");
}

/// The reserve that appends leave free is left free by a repair too.
#[test]
fn a_repair_leaves_the_reserve_of_the_disk_free() {
    let broken = Broken::new();
    broken.anew();
    broken.image.set_limit("disk_reserve_bytes", 1_125_899_906_842_624);
    let refused = repair(broken.image.path(), &["--from", &broken.scene.backups()]);
    assert!(refused.code == Some(1) && refused.stderr.contains("the reserve is"), "{refused:?}");
    assert!(refused.stderr.contains("second copy of the database, which takes about"), "told before any work");
    assert_eq!(kept(broken.image.path()), Vec::<String>::new());
    assert_eq!(repair(broken.image.path(), &[]).code, MISSING);
}
