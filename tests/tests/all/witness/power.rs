//! A witness whose disk forgets what was not synced, or fails: what was cosigned stays known, and a failed sync ends it.

use std::ffi::OsStr;
use std::time::Duration;

use cairn_tests::http::Connection;
use cairn_tests::lying::Model;
use cairn_tests::own_witness::{WitnessData, add_checkpoint, growth};
use cairn_tests::preload::Disk;
use cairn_tests::random::Random;
use cairn_tests::server::Starting;

const SIZE: u64 = 2_000;

/// A witness on such a disk (`disk.c`), its log, and the largest size for which an answer came.
struct Machine {
    folder: tempfile::TempDir,
    data: WitnessData,
    log: Model,
    cosigned: u64,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = WitnessData::init(folder.path().join("witness"));
        let log = super::log("log.example/one", 1, SIZE);
        data.add(&log);
        Self { folder, data, log, cosigned: 0 }
    }

    fn disk(&self) -> Disk {
        Disk::new(self.data.path(), self.folder.path().join("disk"))
    }

    fn start(&self, faults: &[(&str, &str)]) -> Starting {
        let (library, disk) = (Disk::library(), self.disk().environment());
        let mut environment = vec![("LD_PRELOAD", library.as_os_str())];
        environment.extend(disk.iter().map(|(name, value)| (*name, value.as_os_str())));
        environment.extend(faults.iter().map(|(name, value)| (*name, OsStr::new(*value))));
        self.data.start(&environment)
    }

    /// The folder becomes what the disk holds.
    fn power_fails(&self) {
        self.disk().power_fails(None).unwrap();
    }

    /// Grows what is cosigned until the witness is gone, or `rounds` are over.
    fn work(&mut self, connection: &mut Connection, rounds: usize) {
        // The first answer tells where the witness is; nothing that was answered may be forgotten.
        let Ok(first) = add_checkpoint(connection, &growth(&self.log, 0, 1)) else { return };
        let mut old = match first.status {
            200 => 1,
            409 => first.text().trim_end().parse().unwrap(),
            500 => return,
            other => panic!("{other}: {}", first.text()),
        };
        assert!(old >= self.cosigned, "{} was cosigned, and {old} is remembered", self.cosigned);
        for _ in 0..rounds {
            let new = (old + 1).min(SIZE);
            match add_checkpoint(connection, &growth(&self.log, old, new)) {
                Ok(answer) if answer.status == 200 => old = new,
                Ok(answer) => {
                    assert_eq!(answer.status, 500, "{}", answer.text());
                    break;
                }
                Err(_) => break,
            }
        }
        self.cosigned = self.cosigned.max(old);
    }
}

#[test]
#[cfg_attr(not(has_cc), ignore = "there is no C compiler here")]
fn a_failed_sync_ends_the_witness_and_forgets_nothing() {
    let mut machine = Machine::new();
    let mut random = Random::for_test("witness failed sync");
    let (mut while_starting, mut at_work) = (0, 0);
    for failure in 0..10 {
        let number = if failure % 3 == 0 { 1 + random.below(3) } else { 8 + random.below(60) };
        let mut starting = machine.start(&[("DISK_FAILS", &number.to_string())]);
        if let Some(address) = starting.wait() {
            at_work += 1;
            machine.work(&mut Connection::open(address).unwrap(), 200);
        } else {
            while_starting += 1;
        }
        let ended = starting.ended();
        assert!(ended.stderr.contains("disk.c: sync"), "the fault did not fire: {ended:?}");
        assert!(ended.code == Some(1) && !ended.stderr.contains("panicked"), "{ended:?}");
        machine.power_fails();
        let server = machine.data.serve();
        machine.work(&mut Connection::open(server.address()).unwrap(), 5);
        server.kill();
    }
    assert!(while_starting > 0 && at_work > 0 && machine.cosigned > 50, "{while_starting}, {at_work}");
}

#[test]
#[cfg_attr(not(has_cc), ignore = "there is no C compiler here")]
fn power_failures_under_load_forget_nothing() {
    let mut machine = Machine::new();
    let mut random = Random::for_test("witness power");
    for _ in 0..12 {
        let mut starting = machine.start(&[("DISK_DELAY", "400")]);
        let address = starting.wait().unwrap();
        let moment = Duration::from_micros(5_000 + random.below(40_000) as u64);
        // Opened first, so that the witness has something to do however busy the machine is.
        let mut connection = Connection::open(address).unwrap();
        machine.work(&mut connection, 1);
        let switch = std::thread::spawn(move || {
            // Any moment may be the wrong one: this wait is the fault, nothing is waited for.
            std::thread::sleep(moment);
            starting.kill();
        });
        machine.work(&mut connection, usize::MAX);
        switch.join().unwrap();
        machine.power_fails();
    }
    let server = machine.data.serve();
    machine.work(&mut Connection::open(server.address()).unwrap(), 1);
    // Each of the twelve was at work before its power failed; how far it came is a matter of the machine.
    assert!(machine.cosigned >= 12, "only {} were cosigned", machine.cosigned);
}
