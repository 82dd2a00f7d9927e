//! What a round of witnesses adds to an append that waits for it: five of `cairn witness` on this machine, each with its
//! own synced state, of which three must cosign.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Deserialize;

use crate::Settings;
use crate::programs::{Server, command, init, vkey};
use crate::report::{Row, median};

const WITNESSES: usize = 5;
const QUORUM: usize = 3;
/// Appends before any is measured.
const WARM_UP: usize = 20;
/// What a round may add, in milliseconds.
const MOST_MS: f64 = 20.0;

/// Appends one after the other by one connection, with and without waiting for witnesses, in turns.
pub(crate) fn measure(settings: &Settings) -> anyhow::Result<Row> {
    let (data, folder, cores) = (settings.folder()?, settings.folder()?, settings.cores());
    let token = init(data.path())?;
    let key = vkey(data.path())?;
    let mut witnesses = Vec::new();
    let mut policy = String::new();
    for number in 1..=WITNESSES {
        let dir = folder.path().join(format!("w{number}"));
        let made =
            command("cairn", &["witness", "init", "--name", &format!("w{number}.example"), "--json", "--dir"], &dir)?;
        let made: Made = serde_json::from_str(&made)?;
        command("cairn", &["witness", "add-log", "--vkey", &key, "--dir"], &dir)?;
        let witness = Server::witness(&dir, &cores)?;
        let cosigner = made.vkeys.first().context("the witness's key")?;
        writeln!(policy, "witness w{number} {cosigner} {}", witness.origin())?;
        witnesses.push(witness);
    }
    let names: Vec<String> = (1..=WITNESSES).map(|number| format!("w{number}")).collect();
    writeln!(policy, "group g {QUORUM} {}\nquorum g", names.join(" "))?;
    let file = folder.path().join("policy");
    std::fs::write(&file, policy)?;
    set_policy(data.path(), &file)?;
    let cairn = Server::cairn(data.path(), token, &cores)?;
    let mut appender = Appender::open(&cairn)?;
    appender.median_ms("witnessed", WARM_UP)?;
    let (mut added, mut bare, mut witnessed) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..settings.rounds {
        let without = appender.for_a_while("integrated", settings.time())?;
        let with = appender.for_a_while("witnessed", settings.time())?;
        eprintln!("  round {round}: {with:.2} ms with witnesses, {without:.2} ms without");
        added.push(with - without);
        bare.push(without);
        witnessed.push(with);
    }
    let added = median(&added);
    Ok(Row {
        name: "witnesses".to_owned(),
        what: format!(
            "ms that a round of {WITNESSES} local witnesses adds to POST entries?wait=witnessed, {QUORUM} must cosign"
        ),
        cairn: added,
        bare: None,
        ratio: None,
        spread: None,
        target: format!("< {MOST_MS} ms"),
        met: Some(added < MOST_MS),
        notes: vec![format!(
            "median of appends by one connection, each after the one before: {:.2} ms with witnesses, {:.2} ms without",
            median(&witnessed),
            median(&bare)
        )],
    })
}

/// What `cairn witness init` prints.
#[derive(Deserialize)]
struct Made {
    vkeys: Vec<String>,
}

fn set_policy(data: &Path, file: &Path) -> anyhow::Result<()> {
    let file = file.to_str().context("a path in UTF-8")?;
    command("cairnd", &["log", "policy", "main", "--policy", file, "--data"], data).map(drop)
}

/// One connection that appends.
struct Appender {
    stream: TcpStream,
    token: String,
    number: u64,
}

impl Appender {
    fn open(server: &Server) -> anyhow::Result<Self> {
        let authority = server.origin();
        let stream = TcpStream::connect(authority.trim_start_matches("http://"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, token: server.token().to_owned(), number: 0 })
    }

    /// The median of the times that `count` appends took, in milliseconds.
    fn median_ms(&mut self, wait: &str, count: usize) -> anyhow::Result<f64> {
        let times: anyhow::Result<Vec<f64>> = (0..count).map(|_| self.append(wait)).collect();
        Ok(median(&times?))
    }

    fn for_a_while(&mut self, wait: &str, time: Duration) -> anyhow::Result<f64> {
        let (begun, mut times) = (Instant::now(), Vec::new());
        while begun.elapsed() < time {
            times.push(self.append(wait)?);
        }
        Ok(median(&times))
    }

    fn append(&mut self, wait: &str) -> anyhow::Result<f64> {
        self.number += 1;
        let entry = format!("{:0300}", self.number);
        let request = format!(
            "POST /logs/main/add?wait={wait} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{entry}",
            self.token,
            entry.len()
        );
        let begun = Instant::now();
        self.stream.write_all(request.as_bytes())?;
        let mut answer = [0; 1_024];
        let count = self.stream.read(&mut answer)?;
        let time = begun.elapsed().as_secs_f64() * 1e3;
        let head = answer.get(..count).unwrap_or_default();
        anyhow::ensure!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(head));
        Ok(time)
    }
}
