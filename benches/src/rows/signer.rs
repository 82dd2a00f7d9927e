//! What keys at a signer process, and an ML-DSA-44 key beside the Ed25519 key, cost an append: four servers, which differ in
//! nothing else, take turns. Each is asked by one connection, whose rate is the inverse of an append's time, and by many.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Child;

use anyhow::Context as _;
use tempfile::TempDir;

use crate::Settings;
use crate::programs::{Ask, ENTRY_BYTES, Loaded, Server, command, init, load, signer};
use crate::report::{Rounds, Row, median};

/// Where the keys are, and which.
#[derive(Clone, Copy)]
struct Keys {
    name: &'static str,
    at_signer: bool,
    ml_dsa: bool,
}

/// The first is what the others are held against.
const KEYS: [Keys; 4] = [
    Keys { name: "file keys", at_signer: false, ml_dsa: false },
    Keys { name: "file keys + ML-DSA-44", at_signer: false, ml_dsa: true },
    Keys { name: "signer", at_signer: true, ml_dsa: false },
    Keys { name: "signer + ML-DSA-44", at_signer: true, ml_dsa: true },
];

/// A server, and the signer that it may have.
struct Running {
    server: Server,
    _signer: Option<Signer>,
    _folders: [TempDir; 2],
}

/// It is killed when it is dropped; nothing is left to be finished.
struct Signer(Child);

impl Drop for Signer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Single durable appends, with each kind of keys.
pub(crate) fn measure(settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let running = KEYS.iter().map(|keys| start(settings, *keys)).collect::<anyhow::Result<Vec<_>>>()?;
    let cores = settings.cores();
    let mut rows = Vec::new();
    for connections in [1, 64] {
        let ask = Ask { mode: "single", connections, time: settings.time(), size: ENTRY_BYTES };
        let mut loads: Vec<Vec<Loaded>> = KEYS.iter().map(|_| Vec::new()).collect();
        for round in 0..settings.rounds {
            for ((keys, running), loads) in KEYS.iter().zip(&running).zip(&mut loads) {
                let loaded = load(&running.server, ask, &cores)?;
                eprintln!(
                    "  round {round}, {connections} connections, {}: {:.0}/s, p50 {:.2} ms",
                    keys.name, loaded.rate_per_s, loaded.p50_ms
                );
                loads.push(loaded);
            }
        }
        let Some((files, others)) = loads.split_first() else { continue };
        for (keys, seen) in KEYS.iter().skip(1).zip(others) {
            let mut rounds = Rounds::default();
            seen.iter().zip(files).for_each(|(seen, files)| rounds.push(seen.rate_per_s, files.rate_per_s));
            let by = if connections == 1 { "1 connection".to_owned() } else { format!("{connections} connections") };
            let what = format!("appends/s: POST add, 300 B, synced, {by}; bare: file keys, Ed25519");
            let mut row = rounds.row(&format!("add, {}, {by}", keys.name), &what, "(for information)");
            let p50 = |loads: &[Loaded]| median(&loads.iter().map(|loaded| loaded.p50_ms).collect::<Vec<_>>());
            row.notes.push(format!("p50 {:.2} ms, with file keys {:.2} ms", p50(seen), p50(files)));
            rows.push(row);
        }
    }
    Ok(rows)
}

fn start(settings: &Settings, keys: Keys) -> anyhow::Result<Running> {
    let (data, dir) = (settings.folder()?, settings.folder()?);
    let token = init(data.path())?;
    if keys.ml_dsa {
        command("cairnd", &["key", "rotate", "main", "--type", "ml-dsa-44", "--data"], data.path())?;
    }
    let signer = if keys.at_signer { Some(with_signer(data.path(), dir.path(), settings)?) } else { None };
    let server = Server::cairn(data.path(), token, &settings.cores())?;
    Ok(Running { server, _signer: signer, _folders: [data, dir] })
}

fn with_signer(data: &Path, dir: &Path, settings: &Settings) -> anyhow::Result<Signer> {
    let dir_text = dir.to_str().context("a path in UTF-8")?;
    command("cairnd", &["signer", "init", "--dir"], dir)?;
    command("cairnd", &["signer", "import", "--dir", dir_text, "--data"], data)?;
    let file = data.join("cairnd.toml");
    let text = std::fs::read_to_string(&file)?;
    let socket = format!("socket = {:?}", dir.join("socket").display().to_string());
    std::fs::write(&file, text.replacen("# socket = \"signer.sock\"", &socket, 1))?;
    let mut child = Signer(signer(dir, &settings.cores())?);
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().context("its output")?).read_line(&mut line)?;
    anyhow::ensure!(line.contains("ready"), "the signer is not ready: {line:?}");
    Ok(child)
}
