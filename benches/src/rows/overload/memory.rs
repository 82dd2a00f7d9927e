//! How much memory the server may have while it is abused: what it had before, what its caches have taken since, each up to
//! its bound, what the configured bound lets wait that this kind of abuse meets, and some room. And whether it is flat: what it has in the second half of the rounds, beside its caches, is what it had in the first.
//!
//! What a cache has is read between rounds, not when most is resident; and what was freed goes back to the system later. So
//! where caches fill while they are attacked, rounds that do not count come first, until caches take little more and a few
//! rounds in a row had no more resident beside them than those before. They end all the same after a number of rounds: what
//! grows for good grows in those that count.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use cairnd::config::{Config, FILE_NAME};
use cairnd::limits::Limits;

use super::attack::Attack;
use crate::programs::Server;

/// MiB for everything else, whatever the attack: connections, what reading takes, the newest of what is appended.
const ROOM: f64 = 64.0;
/// MiB of these by which the second half of the rounds may have more than the first.
const GROWTH: f64 = 32.0;
/// MiB that caches take in a round as long as they fill, or that are resident beside them for the first time.
const FILLING: f64 = 8.0;
/// So many rounds in a row must have no more resident than those before.
const LEVEL: usize = 4;
const MIB: f64 = 1_048_576.0;

/// What fills until it is full, and stays.
#[derive(Debug, Clone)]
struct Cache {
    name: String,
    /// In MiB, as the most.
    has: f64,
    most: f64,
}

/// The server's memory before an attack and in its rounds.
pub(super) struct Memory {
    before: f64,
    caches: Vec<Cache>,
    /// What each of them has had at most.
    full: Vec<f64>,
    /// What may wait, and by which bound.
    waiting: (&'static str, f64),
    /// Those in which caches filled.
    filling: Vec<Round>,
    rounds: Vec<Round>,
}

/// In MiB.
struct Round {
    /// The most that was resident.
    peak: f64,
    /// What caches have had at most since the beginning, each for itself: what a flush gives back, the allocator may keep.
    cached: f64,
}

impl Memory {
    /// Before an attack on a server with this data.
    pub(super) fn before(server: &Server, data: &Path, attack: Attack) -> anyhow::Result<Self> {
        let limits = Config::load(&data.join(FILE_NAME))?.limits;
        let caches = caches(server)?;
        let (full, waiting) = (caches.iter().map(|cache| cache.has).collect(), waiting(attack, &limits));
        Ok(Self { before: server.resident_mib(), caches, full, waiting, filling: Vec::new(), rounds: Vec::new() })
    }

    /// A round begins.
    pub(super) fn begin(server: &Server) -> anyhow::Result<()> {
        server.forget_peak().context("the kernel does not forget what was resident at most")
    }

    /// A round is over; says what was resident.
    pub(super) fn end(&mut self, server: &Server) -> anyhow::Result<String> {
        let round = Round { peak: server.peak_mib(), cached: self.look(server)? };
        let said = format!("{:.0} MiB resident at most, {:.0} of them caches", round.peak, round.cached);
        self.rounds.push(round);
        Ok(said)
    }

    /// A round that does not count is over; whether there is more to fill.
    pub(super) fn fills(&mut self, server: &Server) -> anyhow::Result<bool> {
        let before: f64 = self.full.iter().sum();
        let cached = self.look(server)?;
        self.filling.push(Round { peak: server.peak_mib(), cached });
        Ok(cached - before > FILLING || self.rises())
    }

    /// Whether one of the last rounds had more resident beside caches than all before them, or there were not enough yet.
    fn rises(&self) -> bool {
        let (before, last) = self.filling.split_at(self.filling.len().saturating_sub(LEVEL));
        beside(before).zip(beside(last)).is_none_or(|(before, last)| last > before + FILLING)
    }

    /// What caches have had at most since the beginning.
    fn look(&mut self, server: &Server) -> anyhow::Result<f64> {
        for (full, now) in self.full.iter_mut().zip(caches(server)?) {
            *full = full.max(now.has);
        }
        Ok(self.full.iter().sum())
    }

    fn most(&self) -> f64 {
        self.rounds.iter().chain(&self.filling).map(|round| round.peak).fold(0.0, f64::max)
    }

    fn bound(&self) -> f64 {
        self.before + self.taken().map(|(_, taken)| taken).sum::<f64>() + self.waiting.1 + ROOM
    }

    /// The caches with what they have taken since, at most what they had left.
    fn taken(&self) -> impl Iterator<Item = (&Cache, f64)> {
        let full = self.caches.iter().zip(&self.full);
        full.map(|(cache, full)| (cache, (full.min(cache.most) - cache.has).max(0.0)))
    }

    /// By how much the second half has more than the first, beside what caches took meanwhile.
    fn growth(&self) -> f64 {
        let (first, second) = self.rounds.split_at(self.rounds.len() / 2);
        beside(first).zip(beside(second)).map_or(0.0, |(first, second)| second - first)
    }

    pub(super) fn is_flat(&self) -> bool {
        self.most() <= self.bound() && self.growth() <= GROWTH
    }

    /// What was seen, and what was allowed.
    pub(super) fn told(&self) -> String {
        let mut told = format!("{:.0} MiB resident at most, before {:.0}", self.most(), self.before);
        let _ = write!(told, "; may be {:.0}: {:.0} before", self.bound(), self.before);
        for (cache, taken) in self.taken() {
            let _ = write!(told, ", {taken:.0} taken by {} of {:.0}", cache.name, cache.most);
        }
        let (name, most) = self.waiting;
        let _ = write!(told, ", {most:.0} by {name}, {ROOM:.0} for all else");
        if !self.filling.is_empty() {
            let _ = write!(told, "; caches filled for {} rounds that do not count", self.filling.len());
        }
        let peaks: Vec<_> = self.rounds.iter().map(|round| format!("{:.0}", round.peak)).collect();
        let _ = write!(told, "; round by round {}; beside caches the second half has ", peaks.join(", "));
        let _ = write!(told, "{:+.0} to the first, at most {GROWTH:+.0}", self.growth());
        told
    }
}

/// The most that was resident beside caches.
fn beside(rounds: &[Round]) -> Option<f64> {
    rounds.iter().map(|round| round.peak - round.cached).reduce(f64::max)
}

/// The bound on what this kind of abuse may leave waiting in memory, in MiB; the names are those of the configuration.
fn waiting(attack: Attack, limits: &Limits) -> (&'static str, f64) {
    let (name, bytes) = match attack {
        Attack::SlowReads | Attack::Reports | Attack::Searches => {
            ("answers_in_flight_bytes", limits.answers_in_flight_bytes())
        }
        // One token has half of it.
        Attack::Followers => ("half of follower_bytes", limits.follower_bytes() / 2),
        Attack::SlowBodies | Attack::HugeBodies | Attack::EndlessBodies => {
            let most = attack.connections() * limits.entry_bytes();
            ("bodies_in_flight_bytes and entry_bytes", limits.bodies_in_flight_bytes().min(most))
        }
        Attack::SlowHeaders | Attack::H2Continuations => ("header_bytes", attack.connections() * limits.header_bytes()),
        Attack::H2Resets | Attack::H2Streams | Attack::H2Appends => {
            ("h2_window_bytes", attack.connections() * limits.h2_window_bytes() as usize)
        }
        Attack::Batches => {
            ("bodies_in_flight_bytes and queue_bytes", limits.bodies_in_flight_bytes() + limits.queue_bytes())
        }
        Attack::Connections | Attack::IdleConnections => ("nothing", 0),
    };
    (name, bytes as f64 / MIB)
}

/// What the server says of its caches.
fn caches(server: &Server) -> anyhow::Result<Vec<Cache>> {
    let metrics = String::from_utf8(server.get_path("/metrics")?)?;
    let engine = cairn_rocks::Settings::default();
    let of_engine = [
        ("blocks", "cairn_store_block_cache_bytes", engine.block_cache),
        ("memtables", "cairn_store_memtable_bytes", engine.memtables),
    ];
    let mut caches = Vec::new();
    for (name, figure, most) in of_engine {
        let has: f64 = figures(&metrics, figure).map(|(_, value)| value).sum();
        caches.push(Cache { name: name.to_owned(), has: has / MIB, most: most as f64 / MIB });
    }
    for (labels, has) in figures(&metrics, "cairn_cache_bytes") {
        let most = figures(&metrics, "cairn_cache_capacity_bytes").find(|(of, _)| *of == labels);
        let (_, most) = most.with_context(|| format!("no bound of the cache {labels}"))?;
        caches.push(Cache { name: labels.replace("cache=", "").replace('"', ""), has: has / MIB, most: most / MIB });
    }
    anyhow::ensure!(caches.len() > of_engine.len(), "the server says nothing of its caches");
    Ok(caches)
}

/// The figures of this name, with their labels.
fn figures<'m>(metrics: &'m str, name: &str) -> impl Iterator<Item = (&'m str, f64)> {
    let lines = metrics.lines().filter_map(move |line| {
        let (figure, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
        let labels = if figure.is_empty() { "" } else { figure.strip_prefix('{')?.strip_suffix('}')? };
        Some((labels, value.parse().ok()?))
    });
    lines.collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(rounds: &[(f64, f64)]) -> Memory {
        let caches = vec![Cache { name: "blocks".to_owned(), has: 28.0, most: 128.0 }];
        let full = vec![rounds.iter().map(|(_, cached)| *cached).fold(28.0, f64::max)];
        let rounds = rounds.iter().map(|(peak, cached)| Round { peak: *peak, cached: *cached }).collect();
        Memory { before: 200.0, caches, full, waiting: ("follower_bytes", 64.0), filling: Vec::new(), rounds }
    }

    #[test]
    fn caches_may_fill_and_nothing_else_may_grow() {
        assert_eq!(memory(&[]).bound(), 328.0, "it may have no more because a cache could");
        assert_eq!(memory(&[(0.0, 500.0)]).bound(), 428.0, "a cache that is too full is no excuse");
        assert!(memory(&[(250.0, 60.0), (300.0, 110.0), (320.0, 128.0), (321.0, 128.0)]).is_flat());
        assert!(!memory(&[(250.0, 128.0), (260.0, 128.0), (290.0, 128.0), (300.0, 128.0)]).is_flat(), "it grows");
        let leak: Vec<_> = (0..40).map(|round| (250.0 + 2.0 * f64::from(round), 128.0)).collect();
        assert!(memory(&leak[..8]).is_flat() && !memory(&leak).is_flat(), "the longer, the smaller a leak is seen");
        assert!(!memory(&[(430.0, 128.0), (430.0, 128.0)]).is_flat(), "more than may be");
        let filling = vec![Round { peak: 430.0, cached: 128.0 }];
        let filled = Memory { filling, ..memory(&[(250.0, 128.0), (250.0, 128.0)]) };
        assert!(!filled.is_flat(), "more than may be, before it counts");
    }

    #[test]
    fn rounds_count_once_it_has_been_level_for_a_while() {
        let rises = |peaks: &[f64]| {
            let filling = peaks.iter().map(|peak| Round { peak: *peak, cached: 128.0 }).collect();
            Memory { filling, ..memory(&[]) }.rises()
        };
        assert!(rises(&[250.0, 250.0, 250.0, 250.0]), "too few to say");
        assert!(!rises(&[250.0, 240.0, 257.0, 230.0, 250.0]));
        assert!(rises(&[250.0, 270.0, 250.0, 250.0, 250.0]) && !rises(&[250.0, 270.0, 250.0, 250.0, 250.0, 270.0]));
    }

    #[test]
    fn figures_are_read_with_their_labels() {
        let metrics = "# TYPE a gauge\na 1.5\na_b 2.0\nc{of=\"x\"} 3.0\nc{of=\"y\"} 4.0\n";
        assert_eq!(figures(metrics, "a").collect::<Vec<_>>(), [("", 1.5)]);
        assert_eq!(figures(metrics, "c").collect::<Vec<_>>(), [("of=\"x\"", 3.0), ("of=\"y\"", 4.0)]);
    }
}
