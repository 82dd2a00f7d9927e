//! The life of keys and logs with the programs themselves: rotation under load while a watcher follows, an end and a
//! successor, and a signer process that a taken-over server can't make sign two histories.

mod import;
mod keys;
mod sealing;
mod signer;

use std::net::SocketAddr;
use std::process::Command;

use cairn_tests::http::{Connection, Request};
use cairn_tests::server::{Data, Ended, Server, cairnd, program, run};

/// Runs `cairn` with the address of `log`.
fn cairn(server: &Server, log: &str, arguments: &[&str]) -> Ended {
    let mut command = Command::new(program("cairn"));
    command.args(arguments).env("CAIRN_URL", server.log_url(log)).env_remove("CAIRN_KEY");
    run(&mut command)
}

/// Runs `cairnd` on the database, and gives its one line of JSON.
fn told(data: &Data, arguments: &[&str]) -> serde_json::Value {
    let ended = cairnd(data.path(), arguments);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
    serde_json::from_str(ended.stdout.lines().next().unwrap_or_default()).unwrap()
}

/// The vkeys that sign a log's heads.
fn active(data: &Data, log: &str) -> Vec<String> {
    let keys = told(data, &["key", "list", log, "--json"]);
    let keys = keys["keys"].as_array().unwrap().iter().filter(|key| key["status"] == "active");
    keys.map(|key| key["vkey"].as_str().unwrap().to_owned()).collect()
}

/// Appends, and gives the status.
fn append(server: &Server, data: &Data, log: &str, entry: &[u8]) -> (u16, String) {
    append_at(server.address(), data, log, entry)
}

fn append_at(server: SocketAddr, data: &Data, log: &str, entry: &[u8]) -> (u16, String) {
    let request =
        Request::post(format!("/logs/{log}/add"), entry).with("authorization", format!("Bearer {}", data.token));
    let answer = Connection::open(server).unwrap().ask(&request).unwrap();
    (answer.status, answer.text())
}
