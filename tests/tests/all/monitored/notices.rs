//! People are told by a command and by a URL. Either may fail, hang or flood: that is said and counted, and holds up
//! neither the other nor the watching.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use cairn_tests::lying::Lie;
use cairn_tests::monitor::Monitor;
use cairn_tests::server::PATIENCE;
use serde_json::Value;

use super::{Scene, VERIFIED, alarm};

const UNDELIVERED: &str = "cairn_monitor_undelivered_total";

/// How a receiver answers.
#[derive(Clone, Copy)]
enum Reply {
    Status(u16),
    /// Not at all.
    Hang,
    /// With a body that does not end.
    Flood,
}

/// Somebody whom notes are posted to. Answers as it is told to, and the last way for good.
struct Posted {
    url: String,
    notes: Receiver<(Reply, Value)>,
}

impl Posted {
    fn new(replies: &'static [Reply]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}/told", listener.local_addr().unwrap());
        let (sender, notes) = mpsc::channel();
        // Ends with the test's process.
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let reply = replies.get(number).or(replies.last()).copied().unwrap();
                let sender: Sender<_> = sender.clone();
                std::thread::spawn(move || answer(stream.unwrap(), reply, &sender));
            }
        });
        Self { url, notes }
    }

    fn next(&self) -> (Reply, Value) {
        self.notes.recv_timeout(PATIENCE).unwrap()
    }
}

fn answer(mut stream: TcpStream, reply: Reply, sender: &Sender<(Reply, Value)>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut length = 0;
    let mut is_json = false;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim().to_lowercase();
        if line.is_empty() {
            break;
        }
        is_json |= line == "content-type: application/json";
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    assert!(is_json);
    // The test may be over.
    let _ = sender.send((reply, serde_json::from_slice(&body).unwrap()));
    let (status, flood) = match reply {
        Reply::Status(status) => (status, false),
        Reply::Flood => (200, true),
        Reply::Hang => {
            std::thread::sleep(PATIENCE);
            return;
        }
    };
    let head = format!(
        "HTTP/1.1 {status} x\r\nlocation: /elsewhere\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        if flood { 1 << 40 } else { 0_u64 }
    );
    let mut sent = stream.write_all(head.as_bytes());
    while flood && sent.is_ok() {
        sent = stream.write_all(&[b'x'; 1 << 16]);
    }
}

/// Lets the log go back, and be as large again: an alarm and its end.
fn alarm_and_clear(scene: &Scene, monitor: &Monitor) {
    scene.log.show(Some(450));
    monitor.wait_for_figure(&alarm("rollback"), 1);
    scene.log.show(None);
    monitor.wait_for_figure(&alarm("rollback"), 0);
}

/// A monitor that tells these people, of a log of 600 entries that it has verified.
fn watching(scene: &Scene, told: &str) -> Monitor {
    let monitor = scene.monitor(&format!("on_alarm = \"continue\"\n[alarm]\n{told}"));
    monitor.wait_for_figure(VERIFIED, 600);
    monitor
}

/// The lines of a file, when there are so many.
fn lines(file: &std::path::Path, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(file).unwrap_or_default();
        if text.matches('\n').count() >= count {
            return text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        }
        assert!(Instant::now() < deadline, "{text}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_alarm_and_its_end_are_told_by_command_and_by_url() {
    let scene = Scene::new(600);
    let (posted, file) = (Posted::new(&[Reply::Status(204)]), scene.path("told"));
    let command = format!("[\"sh\", \"-c\", \"cat >> $0; echo >> $0\", \"{}\"]", file.display());
    let mut monitor = watching(&scene, &format!("command = {command}\nurl = \"{}\"", posted.url));
    alarm_and_clear(&scene, &monitor);
    let told = lines(&file, 2);
    assert_eq!(told, [posted.next().1, posted.next().1], "both are told the same");
    let [began, ended] = &told[..] else { panic!("{told:?}") };
    let (began, ended) = (began.as_object().unwrap(), ended.as_object().unwrap());
    assert_eq!(
        (&began["event"], &began["alarm"], &began["misbehaviour"]),
        (&"alarm".into(), &"rollback".into(), &true.into())
    );
    assert_eq!((&began["log"], &began["origin"]), (&"log".into(), &"lying.example/log".into()));
    assert!(fs::metadata(began["evidence"].as_str().unwrap()).unwrap().is_file());
    assert_eq!(
        (&ended["event"], &ended["alarm"], &ended["since"]),
        (&"clear".into(), &"rollback".into(), &began["since"])
    );
    assert_eq!(monitor.figure(UNDELIVERED), 0);
    assert_eq!(monitor.stop(), Some(0));
}

#[test]
fn a_command_that_fails_is_told_of_in_its_own_words() {
    let scene = Scene::new(600);
    let monitor = watching(&scene, "command = [\"sh\", \"-c\", \"echo no paper >&2; exit 7\"]");
    alarm_and_clear(&scene, &monitor);
    monitor.wait_for_figure(UNDELIVERED, 2);
    monitor.wait_for_words("an alarm could not be told: the command ended with exit status: 7 (no paper)");
    drop(monitor);
    let absent = watching(&scene, "command = [\"/no/such/program\"]");
    alarm_and_clear(&scene, &absent);
    absent.wait_for_figure(UNDELIVERED, 2);
    absent.wait_for_words("the command could not be run");
}

#[test]
fn a_command_that_hangs_is_ended_with_all_that_it_started() {
    let scene = Scene::new(600);
    let (posted, file) = (Posted::new(&[Reply::Status(200)]), scene.path("id"));
    let command = format!("[\"sh\", \"-c\", \"sleep 1000 & echo $! > $0; wait\", \"{}\"]", file.display());
    let told = format!("command = {command}\ntimeout = \"500ms\"\nurl = \"{}\"", posted.url);
    let monitor = watching(&scene, &told);
    alarm_and_clear(&scene, &monitor);
    // Whom the URL tells does not wait for the command.
    assert_eq!((&posted.next().1["event"], &posted.next().1["event"]), (&"alarm".into(), &"clear".into()));
    monitor.wait_for_figure(UNDELIVERED, 2);
    monitor.wait_for_words("the command took longer than 0.5 s");
    let id = fs::read_to_string(&file).unwrap();
    let status = format!("/proc/{}/stat", id.trim());
    let is_gone = || fs::read_to_string(&status).map_or(true, |stat| stat.contains(") Z "));
    let deadline = Instant::now() + PATIENCE;
    while !is_gone() {
        assert!(Instant::now() < deadline, "what the command started goes on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_command_that_floods_fills_neither_memory_nor_what_the_monitor_says() {
    let scene = Scene::new(600);
    let monitor = watching(&scene, "command = [\"sh\", \"-c\", \"yes; yes >&2\"]\ntimeout = \"500ms\"");
    alarm_and_clear(&scene, &monitor);
    monitor.wait_for_figure(UNDELIVERED, 2);
    drop(monitor);
    let script = "head -c 50000000 /dev/zero | tr '\\\\0' y | tee /dev/stderr; exit 1";
    let monitor = watching(&scene, &format!("command = [\"sh\", \"-c\", \"{script}\"]"));
    alarm_and_clear(&scene, &monitor);
    monitor.wait_for_figure(UNDELIVERED, 2);
    let said = monitor.wait_for_words("exit status: 1 (yyyy");
    assert!(said.len() < 4_096, "{} bytes", said.len());
}

#[test]
fn a_url_that_fails_is_tried_again_and_a_redirection_delivers_nothing() {
    let scene = Scene::new(600);
    let posted = Posted::new(&[Reply::Status(500), Reply::Status(302), Reply::Status(200)]);
    let monitor = watching(&scene, &format!("url = \"{}\"", posted.url));
    alarm_and_clear(&scene, &monitor);
    let notes: Vec<Value> = (0..4).map(|_| posted.next().1).collect();
    assert!(notes[0] == notes[1] && notes[1] == notes[2], "{notes:?}");
    assert_eq!((&notes[2]["event"], &notes[3]["event"]), (&"alarm".into(), &"clear".into()));
    assert_eq!(monitor.figure(UNDELIVERED), 0);
}

#[test]
fn a_url_that_hangs_or_floods_holds_nothing_up() {
    let scene = Scene::new(600);
    let posted = Posted::new(&[Reply::Flood]);
    let monitor = watching(&scene, &format!("url = \"{}\"", posted.url));
    alarm_and_clear(&scene, &monitor);
    assert_eq!((&posted.next().1["event"], &posted.next().1["event"]), (&"alarm".into(), &"clear".into()));
    assert_eq!(monitor.figure(UNDELIVERED), 0, "the answer's body is nobody's");
    drop(monitor);

    let (posted, file) = (Posted::new(&[Reply::Hang]), scene.path("told"));
    let command = format!("[\"sh\", \"-c\", \"cat >> $0; echo >> $0\", \"{}\"]", file.display());
    let told = format!("command = {command}\ntimeout = \"100ms\"\nurl = \"{}\"", posted.url);
    let monitor = watching(&scene, &told);
    alarm_and_clear(&scene, &monitor);
    assert_eq!(lines(&file, 2)[1]["event"], "clear");
    scene.grow(900);
    monitor.wait_for_figure(VERIFIED, 900);
    assert!(matches!(posted.next(), (Reply::Hang, note) if note["event"] == "alarm"));
    monitor.wait_for_figure(UNDELIVERED, 1);
    monitor.wait_for_words("the URL could not be reached");
}

#[test]
fn a_monitor_that_an_alarm_ends_tells_of_it_first() {
    let scene = Scene::new(600);
    let posted = Posted::new(&[Reply::Status(500), Reply::Status(200)]);
    let mut monitor = scene.monitor(&format!("[alarm]\nurl = \"{}\"", posted.url));
    monitor.wait_for_figure(VERIFIED, 600);
    scene.log.show(Some(450));
    assert_eq!(monitor.ended(), Some(3));
    assert_eq!(posted.next().1, posted.next().1);
}

/// A log that does not answer is told of, is not accused, and ends no monitor.
#[test]
fn silence_becomes_an_alarm_that_is_not_held_against_the_log_and_ends_with_it() {
    let scene = Scene::new(600);
    let (posted, top) = (Posted::new(&[Reply::Status(200)]), "unreachable_after = \"200ms\"");
    let mut monitor = scene.monitor(&format!("{top}\n[alarm]\nurl = \"{}\"", posted.url));
    monitor.wait_for_figure(VERIFIED, 600);
    scene.log.lie("checkpoint", Lie::Status(503, Some(0)));
    let told = monitor.wait_for_event(|event| event["event"] == "alarm");
    assert_eq!(
        (&told["alarm"], &told["misbehaviour"], &told["evidence"]),
        (&"unreachable".into(), &false.into(), &Value::Null)
    );
    assert_eq!(posted.next().1["alarm"], "unreachable");
    monitor.wait_for("/readyz", |status, _| status == 503);
    scene.log.repent();
    let told = monitor.wait_for_event(|event| event["event"] == "clear");
    assert_eq!(told["alarm"], "unreachable");
    assert_eq!(posted.next().1["event"], "clear");
    monitor.wait_for("/readyz", |status, _| status == 200);
    assert_eq!(fs::read_dir(scene.path("state/evidence")).unwrap().count(), 0);
    assert_eq!(monitor.stop(), Some(0));
}
