//! Who stands beside a log's server: a signer process that has its keys, and a witness that cosigns its heads. Both are the
//! real programs, and are killed and started again as the server is.
//!
//! What the witness shows is held against everything else that was ever seen: its heads are of the log's one history, and
//! none of them is smaller than one before it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use cairn_tests::http::{Connection, Request};
use cairn_tests::own_witness::WitnessData;
use cairn_tests::random::Random;
use cairn_tests::server::{Data, LogKey, PATIENCE, Starting, cairnd};
use cairn_tests::signer;
use cairn_tests::witness::origin_hash;
use cairn_tree::checkpoint::SignedCheckpoint;
use cairn_tree::policy::{Policy, Trust};

use crate::tally::{Finding, Sort};
use crate::world::{Seen, killed, wait_until};

/// The seconds after which a witness that was not reached is asked again.
const BACKOFF: u64 = 1;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Party {
    /// Has the keys.
    Signer,
    /// Cosigns.
    Witness,
}

/// A signer and a witness.
pub(crate) struct Parties {
    signer: PathBuf,
    witness: WitnessData,
    /// Where the witness listens, as the logs' policies have it.
    address: SocketAddr,
    logs: Vec<Cosigned>,
    running: BTreeMap<&'static str, Starting>,
}

/// A log that is cosigned.
struct Cosigned {
    name: String,
    origin: String,
    trust: Trust,
    /// The size of the largest head that the witness showed.
    shown: u64,
}

impl Party {
    pub(crate) const ALL: [Self; 2] = [Self::Signer, Self::Witness];

    const fn name(self) -> &'static str {
        match self {
            Self::Signer => "the signer",
            Self::Witness => "the witness",
        }
    }
}

impl Parties {
    /// Makes both beside a database, whose logs have their keys at the one and a policy with the other from then on.
    pub(crate) fn join(data: &Data, logs: &[LogKey], random: &mut Random) -> Result<Self, Finding> {
        let beside = |name: &str| data.path().with_file_name(name);
        let witness = WitnessData::init(beside("witness"));
        for log in logs {
            let ended = witness.run(&["add-log", "--vkey", &log.vkey]);
            if ended.code != Some(0) {
                return Err(Finding::failed(format!("add-log: {ended:?}")));
            }
        }
        // An address of its own on this machine: no client's port is ever in its way when it comes back.
        let [a, b, c, ..] = random.number().to_be_bytes();
        let own = IpAddr::V4(Ipv4Addr::new(127, 1 | a, b, 1 | c));
        let mut process = witness.start_at(SocketAddr::new(own, 0));
        let address = process.wait().ok_or_else(|| Finding::failed("the witness does not start"))?;
        let key = witness.keys.first().ok_or_else(|| Finding::failed("a witness without a key"))?;
        let witnesses = format!("witness w {} http://{address}\nquorum w\n", key.verifier_key());
        let file = beside("policy");
        std::fs::write(&file, &witnesses)?;
        let file = file.to_string_lossy().into_owned();
        let mut cosigned = Vec::new();
        for log in logs {
            let ended = cairnd(data.path(), &["log", "policy", &log.name, "--policy", &file]);
            if ended.code != Some(0) {
                return Err(Finding::failed(format!("log policy: {ended:?}")));
            }
            let policy = Policy::parse(format!("log {}\n{witnesses}", log.vkey).as_bytes());
            let trust = Trust::Policy(policy.map_err(|error| Finding::failed(error.to_string()))?);
            let origin = log.vkey.split('+').next().unwrap_or_default().to_owned();
            cosigned.push(Cosigned { name: log.name.clone(), origin, trust, shown: 0 });
        }
        data.set_limit("witness_backoff_seconds", BACKOFF);
        let dir = beside("signer");
        signer::make(&dir, data.path());
        let running = BTreeMap::from([(Party::Witness.name(), process)]);
        Ok(Self { signer: dir, witness, address, logs: cosigned, running })
    }

    /// Starts whoever does not run, and waits until it is ready.
    pub(crate) fn start(&mut self) -> Result<(), Finding> {
        for party in Party::ALL {
            if self.running.contains_key(party.name()) {
                continue;
            }
            let mut process = match party {
                Party::Signer => signer::start(&self.signer),
                Party::Witness => self.witness.start_at(self.address),
            };
            let ready = match party {
                Party::Signer => process.wait_as::<PathBuf>().is_some(),
                Party::Witness => process.wait().is_some(),
            };
            if !ready {
                let words = format!("{} does not start any more: {:?}", party.name(), process.ended());
                return Err(Finding::failed(words));
            }
            self.running.insert(party.name(), process);
        }
        Ok(())
    }

    /// Kills one of them, if it runs. That it has ended by itself is never right.
    pub(crate) fn kill(&mut self, party: Party) -> Result<bool, Finding> {
        let Some(mut process) = self.running.remove(party.name()) else { return Ok(false) };
        process.kill();
        killed(&process.ended(), party.name())?;
        Ok(true)
    }

    /// Waits until each log's newest head is cosigned, and learns what the witness shows.
    pub(crate) fn settle(&mut self, address: SocketAddr, seen: &mut Seen) -> Result<(), Finding> {
        let (mut server, mut witness) = (Connection::open(address)?, Connection::open(self.address)?);
        for log in &mut self.logs {
            let path = format!("/logs/{}/checkpoint", log.name);
            let answer = server.ask(&Request::get(&path));
            let answer = answer.map_err(|broken| Finding::failed(format!("{path}: {broken:?}")))?;
            if answer.status == 200 {
                // Before its witness has seen the server again.
                seen.see_checkpoint(&log.name, &answer.body)?;
            }
            let mut newest = None;
            let settled = wait_until(
                || {
                    newest = log.newest_cosigned(&mut server, seen)?;
                    Ok(newest.is_some())
                },
                PATIENCE,
            )?;
            let Some(newest) = newest.filter(|_| settled) else {
                return Err(Finding::failed(format!("log {}: its newest head is never cosigned", log.name)));
            };
            let path = format!("/{}/checkpoint", origin_hash(&log.origin));
            let shown = log.cosigned(&mut witness, &path, seen)?.ok_or_else(|| Finding {
                sort: Sort::Lost,
                words: format!("log {}: its witness has forgotten it at {newest}", log.name),
            })?;
            if shown < log.shown.max(newest) {
                let words = format!("log {}: {shown} is cosigned, {} and {newest} were", log.name, log.shown);
                return Err(Finding { sort: Sort::Contradiction, words });
            }
            log.shown = shown;
        }
        Ok(())
    }
}

impl Cosigned {
    /// The size of the newest head, if the checkpoint is that and is cosigned.
    fn newest_cosigned(&self, server: &mut Connection, seen: &mut Seen) -> Result<Option<u64>, Finding> {
        let place = |resource: &str| format!("/logs/{}/{resource}", self.name);
        let Some((_, head)) = self.read(server, &place("head"), seen)? else { return Ok(None) };
        Ok(self.cosigned(server, &place("checkpoint"), seen)?.filter(|size| *size == head))
    }

    /// The size of a head of the log that bears its witness's cosignature.
    fn cosigned(&self, from: &mut Connection, path: &str, seen: &mut Seen) -> Result<Option<u64>, Finding> {
        let found = self.read(from, path, seen)?;
        Ok(found.filter(|(checkpoint, _)| self.trust.verify(checkpoint).is_ok()).map(|(_, size)| size))
    }

    /// A head of the log, which is held against all others, and its size; none if there is none.
    fn read(
        &self,
        from: &mut Connection,
        path: &str,
        seen: &mut Seen,
    ) -> Result<Option<(SignedCheckpoint, u64)>, Finding> {
        let answer = from.ask(&Request::get(path));
        let answer = answer.map_err(|broken| Finding::failed(format!("{path}: {broken:?}")))?;
        if answer.status != 200 {
            return Ok(None);
        }
        let root = seen.see_head(&self.name, &answer.body)?;
        let bad = |words: String| Finding { sort: Sort::BadBytes, words: format!("{path}: {words}") };
        let checkpoint = SignedCheckpoint::parse(&answer.body).map_err(|error| bad(error.to_string()))?;
        Ok(Some((checkpoint, root.size.get())))
    }
}

/// How long whoever was killed may be away.
pub(crate) fn absence(random: &mut Random) -> Duration {
    Duration::from_micros(random.below(20_000) as u64)
}
