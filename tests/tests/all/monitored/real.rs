//! A monitor follows a real log through restarts, kills and changes of its keys without an alarm, and sees an older copy
//! of it put back.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use cairn_tests::http::{Connection, Request};
use cairn_tests::monitor::Monitor;
use cairn_tests::random::Random;
use cairn_tests::server::{Data, Server, Starting, cairnd, program};

use super::{VERIFIED, alarm};

/// Starts the server where it was before.
fn serve(data: &Path, address: SocketAddr) -> Server {
    let mut command = Command::new(program("cairnd"));
    command.args(["serve", "--listen", &address.to_string(), "--data"]).arg(data);
    Server::ready(Starting::of(command, "cairnd is ready at http://"))
}

/// Appends one entry, if somebody answers.
fn append(address: SocketAddr, data: &Data, entry: &[u8]) -> bool {
    let request = Request::post("/logs/main/add", entry).with("authorization", format!("Bearer {}", data.token));
    let answered = Connection::open(address).ok().and_then(|mut connection| connection.ask(&request).ok());
    answered.is_some_and(|answer| answer.status == 200)
}

/// A monitor of the log at this address, that knows its first key.
fn monitor(folder: &Path, address: SocketAddr, data: &Data, further: &[&str]) -> Monitor {
    let url = format!("http://{address}/logs/main");
    let state = folder.join("monitor");
    let arguments = ["--url", &url, "--key", &data.main.vkey, "--state", state.to_str().unwrap()];
    Monitor::start(&[&arguments[..], &["--interval", "20ms", "--on-alarm", "continue"], further].concat())
}

/// Copies a folder and all that is in it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target: PathBuf = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

#[test]
fn a_log_that_is_restarted_killed_and_given_other_keys_under_load_raises_no_alarm() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::init(folder.path().join("data"));
    let server = data.serve();
    let address = server.address();
    let mut server = Some(server);
    let mut random = Random::for_test("a log that is restarted, killed and given other keys");
    let mut monitor = monitor(folder.path(), address, &data, &[]);
    let (done, appended) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for worker in 0..2 {
            let (data, done, appended) = (&data, &done, &appended);
            scope.spawn(move || {
                for number in 0.. {
                    if done.load(Ordering::SeqCst) {
                        return;
                    }
                    let is_taken = append(address, data, format!("{worker} {number}").as_bytes());
                    appended.fetch_add(u64::from(is_taken), Ordering::SeqCst);
                }
            });
        }
        for round in 0..9 {
            let goal = appended.load(Ordering::SeqCst) + 20 + random.below(60) as u64;
            while appended.load(Ordering::SeqCst) < goal {
                thread::yield_now();
            }
            match round % 3 {
                0 => server.take().unwrap().kill(),
                1 => assert_eq!(server.take().unwrap().stop().code, Some(0)),
                _ => {
                    for further in [&[][..], &["--retire"]] {
                        let ended = cairnd(data.path(), &[&["key", "rotate", "main"], further].concat());
                        assert_eq!(ended.code, Some(0), "{ended:?}");
                        thread::sleep(Duration::from_millis(random.below(60) as u64));
                    }
                }
            }
            if server.is_none() {
                thread::sleep(Duration::from_millis(random.below(300) as u64));
                server = Some(serve(data.path(), address));
            }
            if round % 4 == 3 {
                // The monitor is killed too, and knows no other key than the first when it comes back.
                assert!(monitor.events().iter().all(|event| event["event"] != "alarm"), "{:?}", monitor.events());
                monitor.kill();
                monitor = self::monitor(folder.path(), address, &data, &[]);
            }
        }
        done.store(true, Ordering::SeqCst);
    });
    // What was taken in after the last word to a producer counts too: the log knows best.
    let head = Connection::open(address).unwrap().ask(&Request::get("/logs/main/head")).unwrap().text();
    let size: u64 = head.lines().nth(1).unwrap().parse().unwrap();
    assert!(size > 180, "{size}");
    monitor.wait_for_figure(VERIFIED, size);
    assert!(monitor.events().iter().all(|event| event["event"] != "alarm"), "{:?}", monitor.events());
    assert_eq!(std::fs::read_dir(folder.path().join("monitor/evidence")).unwrap().count(), 0);
    let state = std::fs::read_to_string(folder.path().join("monitor/log.state")).unwrap();
    assert_eq!(state.matches("cairn.key/1").count(), 6, "three changes, of two statements each, were followed");
    assert_eq!(monitor.stop(), Some(0));
    drop(server);
    data.assert_sound();
}

#[test]
fn an_older_copy_of_a_log_that_is_put_back_is_a_rollback() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::init(folder.path().join("data"));
    let server = data.serve();
    let address = server.address();
    assert!((0..20).all(|number| append(address, &data, format!("{number}").as_bytes())));
    assert_eq!(server.stop().code, Some(0));
    copy(data.path(), &folder.path().join("older"));
    let server = serve(data.path(), address);
    let monitor = monitor(folder.path(), address, &data, &["--stale-after", "200ms"]);
    assert!(append(address, &data, b"the last stone"));
    monitor.wait_for_figure(VERIFIED, 21);
    assert_eq!(server.stop().code, Some(0));
    std::fs::remove_dir_all(data.path()).unwrap();
    copy(&folder.path().join("older"), data.path());
    let server = serve(data.path(), address);
    monitor.wait_for_figure(&alarm("rollback"), 1);
    // Another stone in its place: now its signatures contradict each other.
    assert!(append(address, &data, b"another stone"));
    monitor.wait_for_figure(&alarm("fork"), 1);
    let mut files: Vec<_> =
        std::fs::read_dir(folder.path().join("monitor/evidence")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    for (file, code) in files.iter().zip([0, 4]) {
        let judged =
            cairn_tests::command::cairn(["evidence", "verify", "--key", &data.main.vkey, file.to_str().unwrap()]);
        assert_eq!(judged.code, code, "{judged:?}");
    }
    assert_eq!(files.len(), 2, "{files:?}");
    drop(server);
}
