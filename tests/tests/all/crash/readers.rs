//! Readers: they collect every head that the server shows them, and every entry that its event streams carry.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cairn_tests::http::{Connection, Request};
use cairn_tree::wire::read::{EntryEvent, HeadEvent};

use super::load::Stage;

/// The pause of a reader that polls, so that it leaves the processors to others.
const PAUSE: Duration = Duration::from_millis(1);

/// Polls the heads of all logs.
pub(crate) fn poll(stage: &Arc<Stage>, resource: &str) {
    while let Some(address) = stage.address() {
        let ends = || stage.is_ended() || !stage.is_up(address);
        if let Ok(mut connection) = Connection::open(address) {
            while connection.is_reusable() && !ends() {
                for log in &stage.logs {
                    let request = Request::get(format!("/logs/{}/{resource}", log.name));
                    let Ok(answer) = connection.ask(&request) else { break };
                    if answer.status == 200 {
                        log.learn(|oracle| oracle.see_head(&answer.body));
                    }
                }
                stage.wait_while_up(address, PAUSE);
            }
        }
        if stage.is_ended() {
            return;
        }
        stage.wait_while_up(address, PAUSE);
    }
}

/// Follows the event stream of one log, each time from where the last one ended; returns the number of entries that came.
pub(crate) fn follow(stage: &Arc<Stage>, log: usize) -> u64 {
    let mut seen = 0;
    while let Some(address) = stage.address() {
        follow_once(stage, log, address, &mut seen);
        if stage.is_ended() {
            return seen;
        }
        stage.wait_while_up(address, PAUSE);
    }
    seen
}

fn follow_once(stage: &Arc<Stage>, log: usize, address: SocketAddr, seen: &mut u64) {
    let log = &stage.logs[log];
    let request = Request::get(format!("/logs/{}/events", log.name)).with("last-event-id", seen.to_string());
    let Ok(mut connection) = Connection::open(address) else { return };
    let Ok(status) = connection.ask_stream(&request) else { return };
    assert!(status == 200 || status == 503, "log {}: after {seen} entries its events are answered {status}", log.name);
    if status != 200 {
        return;
    }
    let mut kind = String::new();
    while let Ok(Some(line)) = connection.next_line() {
        match line.split_once(": ") {
            Some(("event", event)) => kind = event.to_owned(),
            Some(("data", data)) if kind == "entry" => {
                let event: EntryEvent = serde_json::from_str(data).expect("an entry event");
                assert_eq!(event.index.get(), *seen, "log {}: events left something out", log.name);
                let entry = event.entry.expect("the entry's bytes");
                log.learn(|oracle| oracle.see_entry(*seen, &entry.0));
                *seen += 1;
            }
            Some(("data", data)) if kind == "head" => {
                let event: HeadEvent = serde_json::from_str(data).expect("a head event");
                let head = log.learn(|oracle| oracle.see_checkpoint(&event.checkpoint));
                assert_eq!(head.size, event.size);
                assert!(head.size.get() <= *seen, "log {}: a head came before its entries", log.name);
            }
            _ => {}
        }
        if stage.is_ended() {
            return;
        }
    }
}
