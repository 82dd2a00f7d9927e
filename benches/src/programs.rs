//! The programs that are measured, and the one that measures them: each a process of its own, on cores of its own where
//! there are enough. Cairn's server and the bare one get the same cores, and are asked by the same generator on the others.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::ValueEnum as _;
use serde::{Deserialize, Serialize};

use crate::bare_http::Bodies;
use crate::rows::overload::attack::Attack;

/// How long a server may take to be ready, and to answer one request.
const PATIENCE: Duration = Duration::from_secs(60);
/// Clock ticks per second in `/proc/PID/stat`; Linux shows 100 to every program.
const TICKS: f64 = 100.0;

/// Which cores the servers and the generator may use.
#[derive(Debug, Clone)]
pub(crate) struct Cores {
    /// As `taskset -c` takes them; `None` for all.
    pub(crate) server: Option<String>,
    pub(crate) load: Option<String>,
}

impl Cores {
    /// The first half for the servers, the second for the generator; all for both if that leaves one of them only one.
    pub(crate) fn split(cores: usize) -> Self {
        if cores < 4 {
            return Self { server: None, load: None };
        }
        let half = cores / 2;
        Self { server: Some(format!("0-{}", half - 1)), load: Some(format!("{half}-{}", cores - 1)) }
    }
}

/// A server that runs until it is dropped.
pub(crate) struct Server {
    child: Child,
    url: String,
    /// What the server is told in each append.
    token: String,
}

/// Where cairnd's log is.
const LOG: &str = "/logs/main";

/// A program that was built together with this one.
fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    anyhow::ensure!(path.exists(), "{} is missing: cargo build --release --bins", path.display());
    Ok(path)
}

/// A command on these cores.
fn pinned(program: &Path, cores: Option<&str>) -> Command {
    let Some(cores) = cores else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.arg("-c").arg(cores).arg(program);
    command
}

/// The tokens of a new database.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tokens {
    #[serde(rename = "producer_token")]
    pub(crate) producer: String,
    /// It may see all records.
    #[serde(rename = "auditor_token")]
    pub(crate) reader: String,
}

/// Makes a database in an empty folder with `cairnd init`; returns its producer token.
pub(crate) fn init(data: &Path) -> anyhow::Result<String> {
    Ok(init_with_reader(data)?.producer)
}

/// The same with both tokens.
pub(crate) fn init_with_reader(data: &Path) -> anyhow::Result<Tokens> {
    let output = Command::new(beside("cairnd")?).args(["init", "--json", "--data"]).arg(data).output()?;
    if !output.status.success() {
        bail!("cairnd init: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The key of the log that `init` made.
pub(crate) fn vkey(data: &Path) -> anyhow::Result<String> {
    Ok(std::fs::read_to_string(data.join("keys/main.vkey"))?.trim_end().to_owned())
}

/// Runs a program to its end, with a folder as its last argument; returns what it prints.
pub(crate) fn command(name: &str, arguments: &[&str], folder: &Path) -> anyhow::Result<String> {
    let output = Command::new(beside(name)?).args(arguments).arg(folder).output()?;
    if !output.status.success() {
        bail!("{name} {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

impl Server {
    /// `cairnd serve` on a database that is there.
    pub(crate) fn cairn(data: &Path, token: String, cores: &Cores) -> anyhow::Result<Self> {
        let mut command = pinned(&beside("cairnd")?, cores.server.as_deref());
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        Self::start(command, token)
    }

    /// The bare server.
    pub(crate) fn bare(folder: &Path, bodies: Bodies, cores: &Cores) -> anyhow::Result<Self> {
        let mut command = pinned(&std::env::current_exe()?, cores.server.as_deref());
        command.arg("bare").arg(folder);
        if bodies == Bodies::Synced {
            command.arg("--synced");
        }
        Self::start(command, "none".to_owned())
    }

    /// `cairn witness serve` on a witness that is there.
    pub(crate) fn witness(dir: &Path, cores: &Cores) -> anyhow::Result<Self> {
        let mut command = pinned(&beside("cairn")?, cores.server.as_deref());
        command.args(["witness", "serve", "--listen", "127.0.0.1:0", "--dir"]).arg(dir);
        Self::start(command, String::new())
    }

    /// `cairn monitor` that follows a log, on the generator's cores: it is somebody else's machine.
    pub(crate) fn monitor(arguments: &[&str], state: &Path, cores: &Cores) -> anyhow::Result<Self> {
        let mut command = pinned(&beside("cairn")?, cores.load.as_deref());
        command.args(["monitor", "--listen", "127.0.0.1:0"]).args(arguments).arg("--state").arg(state);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut said = BufReader::new(child.stderr.take().context("its words")?);
        let mut line = String::new();
        said.read_line(&mut line)?;
        // What else it says must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::stderr()));
        Self::ready(child, &line, String::new())
    }

    /// Scheme, address and port.
    pub(crate) fn origin(&self) -> &str {
        self.url.trim_end_matches(LOG)
    }

    /// What it is told in each append.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    fn start(mut command: Command, token: String) -> anyhow::Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("{command:?}"))?;
        let mut line = String::new();
        let output = child.stdout.take().context("its output")?;
        BufReader::new(output).read_line(&mut line)?;
        Self::ready(child, &line, token)
    }

    /// `line` is what it says when it is ready.
    fn ready(child: Child, line: &str, token: String) -> anyhow::Result<Self> {
        let url = line.trim_end().rsplit(' ').next().filter(|url| url.starts_with("http://"));
        let url = url.with_context(|| format!("a program is not ready: {line:?}"))?.to_owned() + LOG;
        Ok(Self { child, url, token })
    }

    /// Where its log is.
    pub(crate) fn log_url(&self) -> &str {
        &self.url
    }

    /// The body of a GET below the log.
    pub(crate) fn get(&self, resource: &str) -> anyhow::Result<Vec<u8>> {
        self.get_path(&format!("{LOG}/{resource}"))
    }

    /// The body of a GET.
    pub(crate) fn get_path(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let authority = self.url.trim_start_matches("http://").trim_end_matches(LOG);
        let mut stream = TcpStream::connect(authority)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").context("no end of the header")?;
        anyhow::ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        Ok(answer.split_off(end + 4))
    }

    /// Seconds of processor time that it has used.
    pub(crate) fn used(&self) -> f64 {
        processor_seconds(&format!("/proc/{}/stat", self.child.id()), Used::Own)
    }

    /// The memory that it has now, in MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        crate::machine::resident_mib_of(self.child.id())
    }

    /// Lets the kernel forget how much memory it had at most until now (proc_pid_clear_refs(5)).
    pub(crate) fn forget_peak(&self) -> std::io::Result<()> {
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")
    }

    /// The most memory that it ever had, in MiB.
    pub(crate) fn peak_mib(&self) -> f64 {
        crate::machine::peak_mib(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A server that is being measured is asked to stop first, so that the next one finds a quiet disk.
        let asked = Command::new("kill").arg(self.child.id().to_string()).status();
        let begun = Instant::now();
        while asked.is_ok() && begun.elapsed() < PATIENCE {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `cairnd signer serve` on a signer that is there; it says on its standard output when it is ready.
pub(crate) fn signer(dir: &Path, cores: &Cores) -> anyhow::Result<Child> {
    let mut command = pinned(&beside("cairnd")?, cores.server.as_deref());
    command.args(["signer", "serve", "--dir"]).arg(dir).stdout(Stdio::piped());
    command.spawn().with_context(|| format!("{command:?}"))
}

/// Makes a witness in a folder, which watches these logs.
pub(crate) fn init_witness(folder: &Path, vkeys: &[String]) -> anyhow::Result<()> {
    let run = |arguments: &[&str]| -> anyhow::Result<()> {
        let output = Command::new(beside("cairn")?).arg("witness").args(arguments).arg("--dir").arg(folder).output()?;
        anyhow::ensure!(output.status.success(), "cairn witness: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    };
    run(&["init", "--name", "witness.bench/w"])?;
    vkeys.iter().try_for_each(|vkey| run(&["add-log", "--vkey", vkey]))
}

/// The bare RocksDB in a process of its own, on the servers' cores; returns entries per second.
pub(crate) fn bare_batches(folder: &Path, per_commit: f64, time: Duration, cores: &Cores) -> anyhow::Result<f64> {
    let mut command = pinned(&std::env::current_exe()?, cores.server.as_deref());
    command.arg("bare-batches").arg(folder).args([per_commit.to_string(), time.as_secs().to_string()]);
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("{command:?}"))?;
    anyhow::ensure!(output.status.success(), "the bare RocksDB failed");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask {
    /// As `cairn load --mode` names it.
    pub(crate) mode: &'static str,
    pub(crate) connections: usize,
    pub(crate) time: Duration,
    /// The bytes of an entry, where raw ones are appended.
    pub(crate) size: usize,
}

/// The bytes of most raw entries.
pub(crate) const ENTRY_BYTES: usize = 300;

/// The mode that takes the server's address and not a log's.
const RECORDS: &str = "records";
/// The same with one record per request, as this program names it.
const RECORD: &str = "record";

/// What `cairn load` says, and what it cost.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Loaded {
    requests: u64,
    errors: u64,
    seconds: f64,
    pub(crate) rate_per_s: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    first_error: Option<String>,
    /// The server's processor time per request, in microseconds.
    #[serde(skip)]
    pub(crate) server_us: f64,
    /// Cores that the generator kept busy.
    #[serde(skip)]
    pub(crate) load_cores: f64,
    /// Cores that the server kept busy.
    #[serde(skip)]
    pub(crate) server_cores: f64,
}

/// Runs the load generator against a server.
pub(crate) fn load(server: &Server, ask: Ask, cores: &Cores) -> anyhow::Result<Loaded> {
    let before = (server.used(), processor_seconds("/proc/self/stat", Used::Children));
    let mut command = pinned(&beside("cairn")?, cores.load.as_deref());
    let mode = if ask.mode == RECORD { RECORDS } else { ask.mode };
    command.args(["load", "--json", "--mode", mode, "--size", &ask.size.to_string()]);
    if ask.mode == RECORD {
        command.args(["--batch", "1"]);
    }
    command.args(["--connections", &ask.connections.to_string(), "--duration", &format!("{}s", ask.time.as_secs())]);
    let url = if mode == RECORDS { server.origin() } else { &server.url };
    command.args(["--url", url, "--token", &server.token]);
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("{command:?}"))?;
    anyhow::ensure!(output.status.success(), "the load generator failed");
    let mut loaded: Loaded = serde_json::from_slice(&output.stdout)?;
    if let Some(error) = loaded.first_error.as_ref().filter(|_| loaded.errors > 0) {
        bail!("{} of {} requests failed: {error}", loaded.errors, loaded.requests + loaded.errors);
    }
    let after = (server.used(), processor_seconds("/proc/self/stat", Used::Children));
    loaded.server_us = (after.0 - before.0) * 1e6 / loaded.requests as f64;
    loaded.server_cores = (after.0 - before.0) / loaded.seconds;
    loaded.load_cores = (after.1 - before.1) / loaded.seconds;
    Ok(loaded)
}

/// Starts this program again, to abuse a server for a while from these cores.
pub(crate) fn attackers(server: &Server, attack: Attack, time: Duration, cores: Option<&str>) -> anyhow::Result<Child> {
    let mut command = pinned(&std::env::current_exe()?, cores);
    let kind = attack.to_possible_value().context("an attack has a name")?;
    command.args(["attack", kind.get_name(), server.origin().trim_start_matches("http://"), server.token()]);
    command.arg(time.as_secs().to_string());
    command.stdout(Stdio::piped()).spawn().with_context(|| format!("{command:?}"))
}

/// Whose processor time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Used {
    Own,
    /// That of children which have ended and been waited for.
    Children,
}

/// Reads `utime` and `stime`, or `cutime` and `cstime` (proc_pid_stat(5), fields 14 to 17).
fn processor_seconds(path: &str, used: Used) -> f64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // The name, in brackets, may have spaces in it.
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let skipped = if used == Used::Own { 11 } else { 13 };
    fields.skip(skipped).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS
}
