//! A database with clients, which is broken again and again, and what it owes to those who saw it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cairn_tests::http::Connection;
use cairn_tests::oracle::{Content, Oracle};
use cairn_tests::random::Random;
use cairn_tests::server::{Data, Ended, LogKey, PATIENCE, Starting, cairnd};
use cairn_tree::checkpoint::LogKeys;
use cairn_tree::merkle::Root;
use serde::Deserialize;

use crate::load::{Answer, Client, Signals, Way, judge, watch};
use crate::parties::Parties;
use crate::records::{Ledger, Recorder, Way as RecordWay};
use crate::tally::{Finding, Sort, Tally};

/// How often a world looks whether something has come about that nobody tells it of.
pub(crate) const LOOK: Duration = Duration::from_micros(300);

/// One database and everything that was ever seen of it.
pub(crate) struct World {
    /// Who signs and cosigns, where that is not the server alone. They end before their folders do.
    pub(crate) parties: Option<Parties>,
    /// None once it is to be kept.
    folder: Option<tempfile::TempDir>,
    pub(crate) data: Data,
    pub(crate) seen: Seen,
    clients: Vec<Client>,
    logs: Vec<LogKey>,
    /// The choices of what is broken next.
    pub(crate) random: Random,
    /// Where those come from.
    deeds: Random,
    /// The choices of what is looked at, whose number depends on what there is.
    samples: Random,
}

/// What was ever seen of a database from outside.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) oracles: Vec<Oracle>,
    /// Of those logs that take records.
    ledgers: Vec<Ledger>,
    /// The size of the largest checkpoint that each log served.
    checkpoints: HashMap<String, u64>,
}

/// What `cairnd tenant create` says.
#[derive(Deserialize)]
struct Tenant {
    log: LogKey,
}

/// A server that is ready.
pub(crate) struct Up {
    pub(crate) process: Starting,
    pub(crate) address: SocketAddr,
}

impl World {
    /// Makes a database with three logs below `folder`: `main`, which takes the records of one tenant too, one whose heads
    /// carry a time, and one of another tenant's own.
    pub(crate) fn new(folder: &Path, mut random: Random) -> Result<Self, Finding> {
        let folder = tempfile::Builder::new().prefix("torture-").tempdir_in(folder)?;
        let data = Data::init(folder.path().join("data"));
        let timed = data.create_log("timed", &["--ml-dsa"]);
        let tenant = cairnd(data.path(), &["tenant", "create", "ka", "--json"]);
        let tenant: Tenant =
            serde_json::from_str(&tenant.stdout).map_err(|error| Finding::failed(format!("{error}: {tenant:?}")))?;
        let ways = [("main", Way::Json), ("main", Way::Batch), ("timed", Way::Proof)].into_iter().enumerate();
        let mut clients: Vec<Client> =
            ways.map(|(number, (log, way))| Client::new(number, log, &data.token, way, random.fork())).collect();
        let ways = [
            ("main", "pb", RecordWay::Keyed),
            ("main", "pb", RecordWay::Batch),
            ("main", "pb", RecordWay::Expecting),
            ("main", "pb", RecordWay::Expecting),
            ("ka", "ka", RecordWay::Batch),
        ];
        for (number, (log, tenant, way)) in ways.into_iter().enumerate() {
            let recorder = Recorder::new(number, tenant, way, random.fork());
            clients.push(Client::recording(log, &data.token, recorder));
        }
        let mut ledgers = Vec::new();
        for (tenant, log) in [("pb", &data.main), ("ka", &tenant.log)] {
            let keys = LogKeys::new(vec![log.vkey.parse().map_err(|_| Finding::failed("no key of a log"))?]);
            let keys = keys.map_err(|error| Finding::failed(error.to_string()))?;
            ledgers.push(Ledger::new(tenant, &log.name, &keys, &data.auditor));
        }
        let logs = vec![data.main.clone(), timed, tenant.log];
        let seen = Seen { oracles: logs.iter().map(Oracle::new).collect(), ledgers, checkpoints: HashMap::new() };
        let (samples, deeds) = (random.fork(), random.fork());
        Ok(Self { folder: Some(folder), data, seen, clients, logs, parties: None, random, deeds, samples })
    }

    /// From here on choices are new ones, and the same in a replay, however many were made before: how many bytes are torn
    /// or calls awaited depends on how threads take turns.
    pub(crate) fn begin(&mut self) {
        self.random = self.deeds.fork();
    }

    /// From now on the keys of all logs are at a signer process, and a witness cosigns their heads.
    pub(crate) fn join_parties(&mut self) -> Result<(), Finding> {
        self.parties = Some(Parties::join(&self.data, &self.logs, &mut self.random)?);
        Ok(())
    }

    /// The folder around the database.
    pub(crate) fn folder(&self) -> &Path {
        self.data.path().parent().unwrap_or(Path::new("."))
    }

    /// Leaves everything where it is, for whoever wants to know what happened.
    pub(crate) fn keep(&mut self) -> Option<PathBuf> {
        self.folder.take().map(tempfile::TempDir::keep)
    }

    /// Starts the server with these variables in its environment.
    pub(crate) fn start(&self, environment: &[(&'static str, PathBuf)]) -> Starting {
        let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_path())).collect();
        Starting::on(self.data.path(), &environment)
    }

    /// Starts the server, which must get ready, and whoever else is needed, and checks everything.
    pub(crate) fn up(&mut self) -> Result<Up, Finding> {
        if let Some(parties) = &mut self.parties {
            parties.start()?;
        }
        let starting = self.start(&[]);
        let up = ready(starting)?.map_err(|ended| Finding::failed(format!("it does not start any more: {ended:?}")))?;
        self.check(up.address)?;
        Ok(up)
    }

    /// Reads all logs as any client may, and compares them with all that was ever seen.
    pub(crate) fn check(&mut self, address: SocketAddr) -> Result<Vec<Content>, Finding> {
        if let Some(parties) = &mut self.parties {
            parties.settle(address, &mut self.seen)?;
        }
        self.seen.check(address, &mut self.samples, Sort::Lost)
    }

    /// The same of a copy that may be damaged: what is learnt of it is not the world's, and that it says so of something is
    /// no loss.
    pub(crate) fn check_copy(&mut self, address: SocketAddr) -> Result<(), Finding> {
        self.seen.clone().check(address, &mut self.samples, Sort::Failed).map(drop)
    }

    /// Lets all clients work at a server until `end` returns, and then until the server is gone or they have their last
    /// answers. What they were answered is judged.
    pub(crate) fn work(
        &mut self,
        address: SocketAddr,
        tally: &mut Tally,
        end: impl FnOnce(&Signals, &mut Random) -> Result<(), Finding>,
    ) -> Result<(), Finding> {
        let signals = Signals::default();
        let logs: Vec<String> = self.seen.oracles.iter().map(|oracle| oracle.name().to_owned()).collect();
        let (clients, random) = (&mut self.clients, &mut self.random);
        let (answers, ended) = std::thread::scope(|scope| {
            let works: Vec<_> = clients
                .iter_mut()
                .map(|client| {
                    let signals = &signals;
                    scope.spawn(move || {
                        let answers = client.work(address, signals);
                        let log = client.log().to_owned();
                        answers.into_iter().map(|answer| (log.clone(), answer)).collect::<Vec<(String, Answer)>>()
                    })
                })
                .collect();
            let watching = scope.spawn(|| watch(address, &logs, &signals));
            let ended = end(&signals, random);
            signals.stop.store(true, Ordering::SeqCst);
            let joined = works.into_iter().chain([watching]).map(std::thread::ScopedJoinHandle::join);
            (joined.collect::<Result<Vec<_>, _>>(), ended)
        });
        let answers = answers.map_err(|_| Finding::failed("the harness: a client panicked"))?;
        for (log, answer) in answers.into_iter().flatten() {
            self.seen.judge(&log, answer, tally)?;
        }
        ended
    }

    /// Has each client bring something to a server that nothing is wrong with.
    pub(crate) fn bring(&mut self, address: SocketAddr, tally: &mut Tally) -> Result<(), Finding> {
        let mut connection = Connection::open(address)?;
        for client in &mut self.clients {
            let answer = client.bring(&mut connection)?;
            self.seen.judge(client.log(), answer, tally)?;
        }
        Ok(())
    }

    /// The end of a world: everybody gets the answer to what they asked last, everything that was acknowledged is there
    /// (`exactly` once, unless that can't be asked for), and the database is sound from inside.
    pub(crate) fn finish(&mut self, tally: &mut Tally, exactly: bool) -> Result<(), Finding> {
        let mut up = self.up()?;
        self.work(up.address, tally, |_, _| Ok(()))?;
        if self.clients.iter().any(Client::is_waiting) {
            return Err(Finding::failed("a sound server does not answer an append"));
        }
        let contents = self.check(up.address)?;
        for content in &contents {
            let mut places: HashMap<&[u8], usize> = HashMap::new();
            for entry in &content.entries {
                *places.entry(entry).or_default() += 1;
            }
            if let Some((entry, count)) = places.into_iter().find(|(_, count)| exactly && *count > 1) {
                let words = format!("{count} times in a log: {}", String::from_utf8_lossy(entry));
                return Err(Finding { sort: Sort::Contradiction, words });
            }
        }
        let Seen { oracles, ledgers, .. } = &mut self.seen;
        for (oracle, content) in oracles.iter().zip(&contents) {
            for ledger in ledgers.iter_mut().filter(|ledger| ledger.log() == oracle.name()) {
                ledger.check_all((up.address, content), &mut self.samples, exactly)?;
            }
        }
        up.process.kill();
        killed(&up.process.ended(), "the server")?;
        sound(self.data.path())
    }
}

impl Seen {
    /// Reads all logs as any client may, and their records as an auditor does.
    fn check(&mut self, address: SocketAddr, random: &mut Random, unverified: Sort) -> Result<Vec<Content>, Finding> {
        let checked = self.oracles.iter_mut().map(|oracle| Ok(oracle.check(address, random)?));
        let contents = checked.collect::<Result<Vec<_>, Finding>>()?;
        self.ledgers.iter_mut().try_for_each(|ledger| ledger.check(address, random, unverified))?;
        Ok(contents)
    }

    /// Holds a head of a log against all that was seen of it.
    pub(crate) fn see_head(&mut self, log: &str, text: &[u8]) -> Result<Root, Finding> {
        let oracle = self.oracles.iter_mut().find(|oracle| oracle.name() == log);
        Ok(oracle.ok_or_else(|| Finding::failed(format!("the harness: no log {log}")))?.see_head(text)?)
    }

    /// Holds a log's checkpoint against all that was seen of it, and against the checkpoints before it: what has met the
    /// witness policy once never falls back. Its size.
    pub(crate) fn see_checkpoint(&mut self, log: &str, text: &[u8]) -> Result<u64, Finding> {
        let size = self.see_head(log, text)?.size.get();
        let largest = self.checkpoints.entry(log.to_owned()).or_default();
        if size < *largest {
            let words = format!("log {log}: a checkpoint of size {size} after one of size {largest}");
            return Err(Finding { sort: Sort::Contradiction, words });
        }
        *largest = size;
        Ok(size)
    }

    /// Verifies an answer that concerns a log, and counts what it acknowledges.
    fn judge(&mut self, log: &str, answer: Answer, tally: &mut Tally) -> Result<(), Finding> {
        if let Answer::Checkpoint(text) = &answer {
            return self.see_checkpoint(log, text).map(drop);
        }
        let Some(oracle) = self.oracles.iter_mut().find(|oracle| oracle.name() == log) else { return Ok(()) };
        let ledger = self.ledgers.iter_mut().find(|ledger| ledger.log() == log);
        let acknowledged = judge(oracle, ledger, answer)?;
        tally.acked += acknowledged.entries;
        tally.records += acknowledged.records;
        Ok(())
    }
}

/// The database is sound from inside.
pub(crate) fn sound(data: &Path) -> Result<(), Finding> {
    let ended = cairnd(data, &["fsck"]);
    if ended.code == Some(0) { Ok(()) } else { Err(Finding::failed(format!("fsck: {ended:?}"))) }
}

/// Waits until a server is ready, or has ended by itself.
pub(crate) fn ready(mut process: Starting) -> Result<Result<Up, Ended>, Finding> {
    match process.wait() {
        Some(address) => Ok(Ok(Up { process, address })),
        None => Ok(Err(process.ended())),
    }
}

/// A server that ends by itself does so with exit code 1 and no panic.
pub(crate) fn ended_well(ended: &Ended) -> Result<(), Finding> {
    if ended.code == Some(1) && !ended.stderr.contains("panicked") {
        Ok(())
    } else {
        Err(Finding::failed(format!("it ended otherwise than it should: {ended:?}")))
    }
}

/// That nothing but a kill ended it: a program that aborted before has an end by a signal as well. Nor did it panic in
/// between, which ends a connection and not the process.
pub(crate) fn killed(ended: &Ended, who: &str) -> Result<(), Finding> {
    if !ended.was_killed() {
        return Err(Finding::failed(format!("{who} ended by itself, before the kill: {ended:?}")));
    }
    if ended.stderr.contains("panicked") {
        return Err(Finding::failed(format!("{who} panicked: {ended:?}")));
    }
    Ok(())
}

/// That a server which was killed at last had not crashed before: it was there still, or had ended as it may.
pub(crate) fn killed_or_ended_well(ended: &Ended) -> Result<(), Finding> {
    if ended.was_killed() { killed(ended, "the server") } else { ended_well(ended) }
}

/// Waits until something has come about; false if it does not for long.
pub(crate) fn wait_until(mut done: impl FnMut() -> Result<bool, Finding>, most: Duration) -> Result<bool, Finding> {
    let deadline = Instant::now() + most.min(PATIENCE);
    while !done()? {
        if Instant::now() > deadline {
            return Ok(false);
        }
        std::thread::sleep(LOOK);
    }
    Ok(true)
}

/// Waits for so many answers to appends; an end of the server shows in that there are none.
pub(crate) fn wait_for_answers(signals: &Signals, count: u64, most: Duration) -> Result<bool, Finding> {
    let target = signals.answered.load(Ordering::SeqCst) + count;
    wait_until(|| Ok(signals.answered.load(Ordering::SeqCst) >= target), most)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use cairn_tests::server::Starting;

    use super::*;

    /// How a program ends that is killed once it is ready, or gone.
    fn end(script: &str) -> Ended {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let mut program = Starting::of(command, "ready at ");
        program.wait();
        program.kill();
        program.ended()
    }

    const AT_WORK: &str = "echo ready at 127.0.0.1:1; exec sleep 60";
    const PANICS: &str = "echo \"thread 'x' panicked at\" >&2; echo ready at 127.0.0.1:1; exec sleep 60";

    #[test]
    fn a_program_that_aborts_before_the_kill_is_a_finding() {
        killed(&end(AT_WORK), "the signer").unwrap();
        for script in ["kill -ABRT $$", "kill -SEGV $$", "exit 0"] {
            let finding = killed(&end(script), "the signer").unwrap_err();
            assert!(finding.words.starts_with("the signer ended by itself, before the kill: "), "{script}: {finding}");
        }
        let finding = killed(&end(PANICS), "the signer").unwrap_err();
        assert!(finding.words.starts_with("the signer panicked: "), "{finding}");
    }

    #[test]
    fn a_server_that_crashes_over_what_it_reads_is_a_finding_and_one_that_gives_up_is_none() {
        for script in [AT_WORK, "exit 1"] {
            killed_or_ended_well(&end(script)).unwrap();
        }
        for script in ["kill -ABRT $$", "kill -SEGV $$", "exit 0", "exit 101", PANICS] {
            killed_or_ended_well(&end(script)).unwrap_err();
        }
    }
}
