//! What happens in a history, made from its seed: everyday events, and in the other half of the histories lies, each with
//! what it must come to.

use cairn::monitor::{Alarm, Depth};
use cairn_tests::random::Random;

use super::log::Side;
use super::witness::Mood;
use super::world::{Client, Lie};

/// The wait between two looks, and how patient monitors are, in seconds.
pub(super) const INTERVAL: u64 = 5;
pub(super) const STALE_AFTER: u64 = 10;
pub(super) const UNREACHABLE_AFTER: u64 = 30;
pub(super) const MAX_AGE: u64 = 60;
pub(super) const TOLERANCE: u64 = 20;

/// Sizes around the borders of tiles and of perfect subtrees.
const SIZES: [u64; 12] = [1, 2, 3, 7, 100, 255, 256, 257, 511, 512, 600, 770];
pub(super) const MONITORS: [Client; 2] = [Client::MonitorA, Client::MonitorB];

/// A history that has not happened yet.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// How large the log is at first.
    pub(super) start: u64,
    /// How much each monitor reads.
    pub(super) depths: [Depth; 2],
    /// Whether clients ask for witnesses.
    pub(super) has_policy: bool,
    /// For how long a head may be withheld, if that is not left to the client's own rule.
    pub(super) withheld_after: Option<u64>,
    /// The log has no `head`.
    pub(super) is_plain: bool,
    pub(super) post_quantum_witness: bool,
    pub(super) noise: Noise,
    /// What happens, by its second.
    pub(super) events: Vec<(u64, Event)>,
    /// When everyday life ends.
    pub(super) end: u64,
}

/// What a peer shows that means no good.
#[derive(Debug, Clone, Copy)]
pub(super) enum Noise {
    Nothing,
    Garbage,
    Strangers,
    Replay,
    TooMuch,
}

#[derive(Debug, Clone)]
pub(super) enum Event {
    Append {
        side: Side,
        count: u64,
    },
    /// The log is down.
    Outage {
        seconds: u64,
    },
    /// A cache shows what it has from so many publications ago.
    Cached {
        client: Client,
        steps: usize,
        seconds: u64,
    },
    /// A mirror shows nothing new, past caches too.
    Held {
        client: Client,
        seconds: u64,
    },
    /// A cache breaks tiles and bundles.
    Broken {
        client: Client,
        seconds: u64,
    },
    Witness {
        number: usize,
        mood: Mood,
    },
    /// A witness's clock is ahead from now on.
    ClockAhead {
        number: usize,
    },
    Keys(&'static [usize]),
    Restart(Client),
    Damage(Client, u64),
    /// An entry is looked up; the number chooses it.
    Audit(u64),
    Lie(Deceit),
}

/// How the log turns dishonest.
#[derive(Debug, Clone)]
pub(super) enum Deceit {
    /// Another tree from here on, for these clients. The witness of that number is asked for that one alone.
    Split { clients: Vec<Client>, size: u64, witness: Option<usize> },
    /// Another tree from here on, for these clients, who are first shown a head of the one that the log leaves with it.
    Leave { clients: Vec<Client>, size: u64 },
    /// Another tree that parts before what everybody has seen. It has so many entries more, or less, than the true one.
    Rewrite { clients: Vec<Client>, at: u64, more: i64 },
    /// An old head for good.
    Rollback { clients: Vec<Client>, choice: u64 },
    /// No newer head for good.
    Freeze { clients: Vec<Client> },
    /// What these clients are told is not so.
    Tell { clients: Vec<Client>, lie: Lie },
    /// No witness is asked any more.
    Unwitnessed,
    /// The clocks of all witnesses but this one are ahead: without them there is no quorum.
    Future { right: usize },
}

/// What must come of a lie: at least one of these.
#[derive(Debug, Clone)]
pub(super) struct Promise(pub(super) Vec<(Client, &'static [Alarm])>);

impl Plan {
    /// A history in which nobody lies.
    pub(super) fn honest(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut plan = Self::everyday(&mut random);
        if random.one_in(3) {
            let seconds = if random.one_in(4) { 70 } else { 3 + random.number() % 20 };
            plan.add(&mut random, 1, Event::Outage { seconds });
        }
        for client in MONITORS {
            if random.one_in(3) {
                let seconds = 1 + random.number() % (STALE_AFTER - 2);
                plan.add(&mut random, 1, Event::Held { client, seconds });
            }
        }
        plan.sorted()
    }

    /// A history in which the log lies, once or to several clients.
    pub(super) fn lying(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut plan = Self::everyday(&mut random);
        // All monitors have seen the log grow by then.
        plan.events.push((1, Event::Append { side: Side::One, count: 1 + random.number() % 9 }));
        let at = 20 + random.number() % 30;
        for deceit in plan.deceits(&mut random) {
            plan.events.push((at, Event::Lie(deceit)));
        }
        plan.events.push((at + 1, Event::Append { side: Side::One, count: 1 + random.number() % 20 }));
        for _ in 0..3 {
            let when = at + 2 + random.number() % 30;
            plan.events.push((when, Event::Append { side: Side::Other, count: 1 + random.number() % 20 }));
            plan.events.push((when, Event::Audit(random.number())));
        }
        plan.sorted()
    }

    fn everyday(random: &mut Random) -> Self {
        let start = if random.one_in(2) { SIZES[random.below(SIZES.len())] } else { 1 + random.number() % 700 };
        let is_plain = random.one_in(4);
        let mut plan = Self {
            start,
            depths: [Depth::Entries, if random.one_in(4) { Depth::Heads } else { Depth::Entries }],
            has_policy: !random.one_in(4),
            withheld_after: (is_plain || random.one_in(2)).then_some(15),
            is_plain,
            post_quantum_witness: random.one_in(8),
            noise: [Noise::Nothing, Noise::Garbage, Noise::Strangers, Noise::Replay, Noise::TooMuch][random.below(5)],
            events: Vec::new(),
            end: 60 + random.number() % 30,
        };
        for _ in 0..2 + random.below(7) {
            let count = if random.one_in(6) { 256 } else { 1 + random.number() % 40 };
            plan.add(random, 0, Event::Append { side: Side::One, count });
        }
        for _ in 0..random.below(7) {
            let event = everyday_event(random);
            plan.add(random, 0, event);
        }
        if random.one_in(3) {
            let first = 5 + random.number() % 30;
            let (both, then): (&[usize], &[usize]) = if random.one_in(3) { (&[0, 2], &[0]) } else { (&[0, 1], &[1]) };
            plan.events.push((first, Event::Keys(both)));
            plan.events.push((first + 1 + random.number() % 30, Event::Keys(then)));
        }
        if random.one_in(4) {
            let number = random.below(3);
            plan.add(random, 0, Event::ClockAhead { number });
        } else {
            // Of three, one may be wrong at a time.
            plan.witness_moods(random);
        }
        plan
    }

    /// One witness at a time is slow or dead; now and then all of them, for a moment.
    fn witness_moods(&mut self, random: &mut Random) {
        let mut when = 1 + random.number() % 30;
        while when < self.end {
            let until = when + 5 + random.number() % 40;
            let mood = if random.one_in(2) {
                Mood::Dead { until }
            } else {
                Mood::Late { by: 1 + random.number() % 12, until }
            };
            if random.one_in(6) {
                let until = when + 10;
                (0..3)
                    .for_each(|number| self.events.push((when, Event::Witness { number, mood: Mood::Dead { until } })));
            } else {
                self.events.push((when, Event::Witness { number: random.below(3), mood }));
            }
            when = until + 16 + random.number() % 40;
        }
    }

    fn deceits(&self, random: &mut Random) -> Vec<Deceit> {
        let clients = some_clients(random);
        match random.below(9) {
            0 | 1 => {
                let witness = random.one_in(3).then(|| 1 + random.below(2));
                let size = 1 + random.number() % 40;
                let leaves = random.one_in(3);
                vec![if leaves { Deceit::Leave { clients, size } } else { Deceit::Split { clients, size, witness } }]
            }
            2 | 3 => {
                let at = random.number() % self.start;
                let more =
                    if random.one_in(3) { -(1 + (random.number() % 5) as i64) } else { (random.number() % 5) as i64 };
                vec![Deceit::Rewrite { clients, at, more }]
            }
            4 => vec![Deceit::Rollback { clients, choice: random.number() }],
            5 => vec![Deceit::Freeze { clients }],
            6 if self.has_policy && random.one_in(2) => {
                vec![if random.one_in(2) { Deceit::Unwitnessed } else { Deceit::Future { right: random.below(3) } }]
            }
            7 => MONITORS.map(|client| self.tell(random, vec![client])).to_vec(),
            _ => vec![self.tell(random, clients)],
        }
    }

    /// A lie to those of the clients who can be told it, or else to the auditor.
    fn tell(&self, random: &mut Random, mut clients: Vec<Client>) -> Deceit {
        let lie = self.tale(random);
        clients.retain(|client| match (lie, self.depths.get(*client as usize)) {
            // Monitors ask for no proofs, and those that read heads alone for no entries.
            (Lie::WrongLeaf, depth) => depth.is_none(),
            (Lie::RewrittenEntry { .. }, depth) => depth != Some(&Depth::Heads),
            // An auditor asks for the checkpoint alone.
            (Lie::WrongKey { on } | Lie::BadSignature { on }, None) => on[0],
            _ => true,
        });
        if clients.is_empty() {
            clients.push(Client::Auditor);
        }
        Deceit::Tell { clients, lie }
    }

    fn tale(&self, random: &mut Random) -> Lie {
        let on =
            if self.is_plain { [true, false] } else { [[true, false], [false, true], [true, true]][random.below(3)] };
        match random.below(if self.has_policy { 9 } else { 7 }) {
            0 => Lie::ForgedRoot { past: 0 },
            1 => Lie::WrongKey { on },
            2 => Lie::BadSignature { on },
            3 => Lie::RewrittenEntry { index: 0 },
            4 => Lie::ShortTiles,
            5 => Lie::AlienTiles,
            6 => Lie::WrongLeaf,
            7 => Lie::NoQuorum,
            _ => Lie::StolenCosignatures,
        }
    }

    /// Adds an event at some second from `first` on.
    fn add(&mut self, random: &mut Random, first: u64, event: Event) {
        let when = first + random.number() % (self.end - first);
        self.events.push((when, event));
    }

    fn sorted(mut self) -> Self {
        self.events.sort_by_key(|(when, _)| *when);
        self
    }
}

fn everyday_event(random: &mut Random) -> Event {
    let client = [Client::MonitorA, Client::MonitorB, Client::Auditor][random.below(3)];
    let monitor = MONITORS[random.below(2)];
    match random.below(6) {
        0 => Event::Cached { client, steps: random.below(6), seconds: 5 + random.number() % 15 },
        1 => Event::Broken { client, seconds: 5 + random.number() % 15 },
        2 => Event::Restart(monitor),
        3 => Event::Damage(monitor, random.number()),
        _ => Event::Audit(random.number()),
    }
}

/// A subset in which there is a monitor.
fn some_clients(random: &mut Random) -> Vec<Client> {
    let mut clients = match random.below(3) {
        0 => vec![Client::MonitorA],
        1 => vec![Client::MonitorB],
        _ => MONITORS.to_vec(),
    };
    if random.one_in(2) {
        clients.push(Client::Auditor);
    }
    clients
}

impl Deceit {
    /// What it must come to.
    pub(super) fn promises(&self, plan: &Plan) -> Vec<Promise> {
        let each = |clients: &[Client], alarms: &'static [Alarm]| {
            let monitors = clients.iter().filter(|client| MONITORS.contains(client));
            monitors.map(|&client| Promise(vec![(client, alarms)])).collect::<Vec<_>>()
        };
        match self {
            Self::Split { .. } => vec![Promise(MONITORS.map(|client| (client, &[Alarm::Fork] as &[Alarm])).to_vec())],
            Self::Rewrite { clients, more, .. } if *more < 0 => each(clients, &[Alarm::Fork, Alarm::Rollback]),
            Self::Leave { clients, .. } | Self::Rewrite { clients, .. } => each(clients, &[Alarm::Fork]),
            Self::Rollback { clients, .. } => each(clients, &[Alarm::Rollback]),
            Self::Freeze { clients } => {
                let mut promises = each(clients, &[Alarm::Withheld]);
                if plan.has_policy {
                    promises.extend(each(clients, &[Alarm::TooOld]));
                }
                promises
            }
            Self::Tell { clients, lie } => clients.iter().filter_map(|&client| told(plan, client, *lie)).collect(),
            Self::Unwitnessed => each(&MONITORS, &[Alarm::TooOld]),
            Self::Future { .. } => each(&MONITORS, &[Alarm::FromTheFuture]),
        }
    }
}

impl Deceit {
    /// The clients to whom the log is not what it is.
    pub(super) fn clients(&self) -> &[Client] {
        match self {
            Self::Split { clients, .. }
            | Self::Leave { clients, .. }
            | Self::Rewrite { clients, .. }
            | Self::Rollback { clients, .. }
            | Self::Freeze { clients }
            | Self::Tell { clients, .. } => clients,
            Self::Unwitnessed | Self::Future { .. } => &[],
        }
    }

    /// One word for it.
    pub(super) fn name(&self) -> String {
        let text = match self {
            Self::Tell { lie, .. } => format!("{lie:?}"),
            other => format!("{other:?}"),
        };
        text.split(' ').next().unwrap_or_default().to_owned()
    }
}

/// What a monitor must say to a lie. An auditor refuses, which is looked at whenever he asks.
fn told(plan: &Plan, client: Client, lie: Lie) -> Option<Promise> {
    let depth = plan.depths.get(client as usize)?;
    let alarms: &[Alarm] = match lie {
        Lie::ForgedRoot { .. } | Lie::ShortTiles | Lie::AlienTiles => &[Alarm::Misfit],
        Lie::WrongKey { .. } | Lie::BadSignature { .. } => &[Alarm::Signature],
        Lie::NoQuorum | Lie::StolenCosignatures => &[Alarm::Quorum],
        Lie::RewrittenEntry { .. } if *depth == Depth::Entries => &[Alarm::WrongEntry],
        // Who reads heads alone sees no entry, and no monitor asks for a single proof.
        Lie::RewrittenEntry { .. } | Lie::WrongLeaf => return None,
    };
    Some(Promise(vec![(client, alarms)]))
}
