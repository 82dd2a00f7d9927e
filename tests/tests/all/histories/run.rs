//! Lets a history happen: second by second, with a clock of its own, and with the oracle beside it.

use std::collections::BTreeMap;
use std::time::Duration;

use cairn::gossip::{Board, Pulled};
use cairn::monitor::{Alarm, Case, Evidence, Freshly, Heard, Rules, Weight};
use cairn_tests::random::Random;
use cairn_tree::checkpoint::LogKeys;
use cairn_tree::policy::Trust;

use super::log::{LARGEST, Log, Side};
use super::oracle::{Look, Oracle};
use super::plan::{
    Deceit, Event, INTERVAL, MAX_AGE, MONITORS, Noise, Plan, Promise, STALE_AFTER, TOLERANCE, UNREACHABLE_AFTER,
};
use super::stage::Stage;
use super::watcher::Watcher;
use super::witness::Mood;
use super::world::{Client, Lie, STRANGER, World};

/// A lie that nobody has seen through after so many seconds was missed.
const LONGEST: u64 = 1_200;
/// Everyday life leaves this much room for a log that lies.
const ROOM: u64 = 250;

/// What was counted over many histories, so that none of it can be absent without being seen.
pub(super) type Counts = BTreeMap<String, usize>;

/// A history as it happens.
pub(super) struct Run<'a> {
    pub(super) stage: &'a Stage,
    pub(super) plan: &'a Plan,
    pub(super) random: Random,
    pub(super) keys: LogKeys,
    pub(super) trust: Trust,
    pub(super) watchers: [Watcher; 2],
    pub(super) oracles: [Oracle; 2],
    pub(super) promises: Vec<Promise>,
    pub(super) has_forged: bool,
    pub(super) is_unwitnessed: bool,
    /// Everybody who is not shown the log as it is, and those of them who are told what is not so.
    pub(super) deceived: Vec<Client>,
    pub(super) told: Vec<Client>,
    /// How often the auditor refused.
    pub(super) refused: usize,
    pub(super) counts: &'a mut Counts,
}

/// Lets a history happen, and says what went wrong in it.
pub(super) async fn run(stage: &Stage, plan: &Plan, seed: u64, counts: &mut Counts) -> Result<(), String> {
    let log = Log::new(plan.start, plan.post_quantum_witness);
    let (keys, policy) = (log.known_keys().clone(), log.policy());
    let freshly = Freshly {
        policy: plan.has_policy.then(|| policy.clone()),
        max_age: plan.has_policy.then_some(Duration::from_secs(MAX_AGE)),
        tolerance: Duration::from_secs(TOLERANCE),
    };
    let rules = Rules {
        interval: Duration::from_secs(INTERVAL),
        stale_after: Duration::from_secs(STALE_AFTER),
        withheld_after: plan.withheld_after.map(Duration::from_secs),
        unreachable_after: Duration::from_secs(UNREACHABLE_AFTER),
        freshly,
    };
    let trust = if plan.has_policy { Trust::Witnessed { log: keys.clone(), policy } } else { Trust::Log(keys.clone()) };
    let mut world = World::new(log);
    world.is_plain = plan.is_plain;
    stage.set(world);
    let watchers = [0, 1].map(|number| {
        Watcher::new(stage.remote(MONITORS[number]).clone(), keys.clone(), rules.clone(), plan.depths[number])
    });
    let oracles = plan.depths.map(|depth| Oracle::new(plan, depth));
    let mut run = Run {
        stage,
        plan,
        random: Random::new(!seed),
        keys,
        trust,
        watchers,
        oracles,
        promises: Vec::new(),
        has_forged: false,
        is_unwitnessed: false,
        deceived: Vec::new(),
        told: Vec::new(),
        refused: 0,
        counts,
    };
    run.happen().await
}

impl Run<'_> {
    async fn happen(&mut self) -> Result<(), String> {
        let mut events = self.plan.events.iter().peekable();
        for now in 0..LONGEST {
            self.stage.with(|world| {
                world.now = now;
                if now > 0 {
                    world.log.tick(now);
                }
            });
            while let Some((_, event)) = events.next_if(|(when, _)| *when <= now) {
                self.event(event, now).await?;
            }
            if now > self.plan.end && now.is_multiple_of(20) {
                self.keep_growing(now).await?;
            }
            for number in 0..2 {
                if self.watchers[number].next <= now {
                    self.look(number, now).await?;
                }
            }
            if now > self.plan.end + 2 * INTERVAL && self.is_over(now) {
                return self.conclude();
            }
        }
        let raised = self.oracles.each_ref().map(|oracle| &oracle.raised);
        Err(format!("it never ended: {:?} were promised, {raised:?} were raised", self.promises))
    }

    /// All promises are kept, and whoever was told the truth knows all of it.
    fn is_over(&self, now: u64) -> bool {
        let kept = |promise: &Promise| {
            promise.0.iter().any(|(client, alarms)| {
                alarms.iter().any(|alarm| self.oracles[*client as usize].raised.contains(alarm))
            })
        };
        if !self.promises.iter().all(kept) {
            return false;
        }
        if self.told.contains(&Client::Auditor) && self.refused == 0 {
            return false;
        }
        let all_looked = self.watchers.iter().all(|watcher| watcher.next > now);
        let up_to_date = self.stage.with(|world| {
            MONITORS.into_iter().filter(|client| !self.deceived.contains(client)).all(|client| {
                let side = world.view(client).side;
                let shown = world.log.shown(side);
                let newest = if world.is_plain { &shown.checkpoint } else { &shown.head };
                let size = newest.place.size;
                self.watchers[client as usize].newest().is_some_and(|newest| newest.size().get() == size)
            })
        });
        let are_heard = self.watchers.iter().all(|watcher| !watcher.alarms().contains(&Alarm::Unreachable));
        all_looked && up_to_date && are_heard
    }

    fn conclude(&mut self) -> Result<(), String> {
        for (number, watcher) in self.watchers.iter().enumerate() {
            let going_on = watcher.alarms();
            if self.promises.is_empty() && !going_on.is_empty() {
                return Err(format!("an honest log is left with {going_on:?}"));
            }
            for alarm in &self.oracles[number].raised {
                *self.counts.entry(format!("alarm {alarm}")).or_default() += 1;
            }
        }
        let mut add = |name: &str, count: usize| *self.counts.entry(name.to_owned()).or_default() += count;
        let unserved = self.stage.with(|world| {
            for view in &world.views {
                add("served by a mirror that lags", view.deceived.held);
                add("served by a cache that lags", view.deceived.cached);
                add("served by a cache that breaks", view.deceived.broken);
            }
            add("refused by witnesses", world.log.witnesses.iter().map(|witness| witness.refused).sum());
            let is_untold = |client: &&Client| world.views[**client as usize].told == 0;
            self.told.iter().find(is_untold).copied()
        });
        unserved.map_or(Ok(()), |client| Err(format!("the lie was never told to {}", client.name())))
    }

    async fn look(&mut self, number: usize, now: u64) -> Result<(), String> {
        self.gossip(number, now).await;
        let client = MONITORS[number];
        let newest = self.watchers[number].newest().map(|head| head.checkpoint().clone());
        let before = self.stage.with(|world| {
            world.view(client).look = Default::default();
            newest.and_then(|head| world.place_of(&head))
        });
        let looked = self.watchers[number].look(now).await;
        let newest = self.watchers[number].newest().map(|head| head.checkpoint().clone());
        let (served, lie, fork, content, after) = self.stage.with(|world| {
            world.boards.insert(client.name(), self.watchers[number].board.clone());
            let (after, fork) = (newest.and_then(|head| world.place_of(&head)), world.log.fork());
            let view = world.view(client);
            (core::mem::take(&mut view.look), view.lie, fork, view.side, after)
        });
        self.has_forged |= matches!(lie, Some(Lie::ForgedRoot { .. }));
        let raised: Vec<Alarm> = looked.raised.iter().map(|(alarm, _)| *alarm).collect();
        let going_on = self.watchers[number].alarms();
        *self.counts.entry("looks".to_owned()).or_default() += 1;
        let look = Look {
            now,
            served: &served,
            lie,
            fork,
            content,
            has_forged: self.has_forged,
            before,
            after,
            unverified: looked.step.unverified.as_deref(),
            raised: &raised,
            going_on: &going_on,
        };
        self.oracles[number].judge(&look).map_err(|error| format!("{}: {error}", client.name()))?;
        for (alarm, evidence) in looked.raised {
            self.examine(alarm, evidence)?;
        }
        Ok(())
    }

    /// What an alarm carries must hold offline, and nothing that was changed may.
    fn examine(&mut self, alarm: Alarm, evidence: Option<Evidence>) -> Result<(), String> {
        let Some(evidence) = evidence else {
            return if alarm == Alarm::Unreachable { Ok(()) } else { Err(format!("{alarm} without evidence")) };
        };
        let bytes = evidence.encode().map_err(|error| error.to_string())?;
        let judge = |bytes: &[u8]| {
            let verdict = Evidence::decode(bytes).and_then(|read| read.check(&self.keys));
            verdict.map(|verdict| verdict.weight)
        };
        let weight = if alarm == Alarm::Fork { Weight::Proven } else { Weight::Testimony };
        if judge(&bytes) != Ok(weight) {
            return Err(format!("the evidence of {alarm} is {:?}", judge(&bytes)));
        }
        if alarm != Alarm::Fork {
            return Ok(());
        }
        let trees = |evidence: &Evidence| match evidence.case() {
            Case::Fork { smaller, larger, prefix } => Some((unsigned(smaller), unsigned(larger), prefix.clone())),
            _ => None,
        };
        let start = bytes.windows(8).position(|window| window == b"\"case\": ").unwrap();
        for _ in 0..8 {
            let place = start + self.random.below(bytes.len() - 1 - start);
            let mut changed = bytes.clone();
            changed[place] ^= 1 << self.random.below(8);
            match judge(&changed) {
                Err(_) => *self.counts.entry("changed evidence refused".to_owned()).or_default() += 1,
                // A cosignature, or one of two signatures of the log, is not needed for the proof.
                Ok(_) if Evidence::decode(&changed).ok().as_ref().map(trees) == Some(trees(&evidence)) => {}
                Ok(weight) => return Err(format!("evidence that was changed at byte {place} is still {weight:?}")),
            }
        }
        let strangers = LogKeys::try_from(STRANGER.vkey().clone()).unwrap();
        if evidence.check(&strangers).is_ok() {
            return Err("a fork is proven against somebody else's key".to_owned());
        }
        Ok(())
    }

    /// Pulls what the others show.
    async fn gossip(&mut self, number: usize, now: u64) {
        self.stage.with(|world| {
            if let Some(head) = world.log.witnesses[0].last() {
                let board = Board::new([head.origin()]);
                board.show(head);
                world.boards.insert("witness", board.into());
            }
            world.noise = self.noise(world);
        });
        let mut peers = vec![MONITORS[1 - number].name()];
        if now.is_multiple_of(2) {
            peers.push("witness");
        }
        if now.is_multiple_of(3) {
            peers.push("noise");
        }
        for peer in peers {
            match self.stage.peer(peer).pull(&self.keys).await {
                Pulled::Head(head) => {
                    let place = self.stage.with(|world| world.place_of(head.checkpoint()));
                    let heard = self.watchers[number].follower.hear(peer, *head);
                    if let (Heard::Taken, Some(place)) = (heard, place) {
                        self.oracles[number].heard(peer, place);
                    }
                }
                Pulled::Nothing | Pulled::Refused => {}
                Pulled::Failed(error) => panic!("no peer of this stage is away: {error}"),
            }
        }
    }

    fn noise(&self, world: &World) -> Vec<u8> {
        let shown = world.log.shown_before(Side::One, 3);
        match self.plan.noise {
            Noise::Nothing => Vec::new(),
            Noise::Garbage => b"lying.example/log\n7\nnothing\n\n".to_vec(),
            Noise::Strangers => STRANGER.sign(shown.head.signed.unverified()).into_bytes(),
            Noise::Replay => shown.head.signed.encode().into_bytes(),
            Noise::TooMuch => vec![b'x'; cairn::bounds::NOTE_BYTES + 1],
        }
    }

    async fn event(&mut self, event: &Event, now: u64) -> Result<(), String> {
        match event {
            Event::Restart(client) => {
                self.watchers[*client as usize].restart();
                self.oracles[*client as usize].restarted();
            }
            Event::Damage(client, place) => {
                self.watchers[*client as usize].find_damage(*place);
                self.oracles[*client as usize].restarted();
            }
            Event::Audit(choice) => self.audit(*choice).await?,
            Event::Lie(deceit) => self.deceive(deceit, now),
            other => self.stage.with(|world| happen_to(world, other, now, self.is_unwitnessed)),
        }
        let name = format!("{event:?}");
        let name = name.split([' ', '(']).next().unwrap_or_default();
        *self.counts.entry(format!("event {name}")).or_default() += 1;
        Ok(())
    }

    fn deceive(&mut self, deceit: &Deceit, now: u64) {
        self.promises.extend(deceit.promises(self.plan));
        let largest = |client: &Client| self.oracles.get(*client as usize).map_or(u64::MAX, Oracle::smallest_shown);
        self.stage.with(|world| match deceit {
            Deceit::Split { clients, size, witness } => {
                let at = world.log.size(Side::One);
                // The witnesses that are asked for the true tree know it to be larger than what both have in common.
                for number in 0..world.log.witnesses.len() {
                    match *witness == Some(number) {
                        true => world.log.asked_for[number] = Side::Other,
                        false => world.log.witnesses[number].mood = Mood::Well,
                    }
                }
                world.log.append(Side::One, 1, now);
                world.log.split(at, at + size, now);
                clients.iter().for_each(|client| world.view(*client).side = Side::Other);
            }
            Deceit::Leave { clients, size } => {
                let at = world.log.size(Side::One);
                // So that the checkpoint is the head that it leaves, too.
                world.log.witnesses.iter_mut().for_each(|witness| witness.mood = Mood::Well);
                world.log.append(Side::One, 1, now);
                world.log.split(at, at + size, now);
                let left = world.log.shown(Side::One).clone();
                for client in clients {
                    let view = world.view(*client);
                    (view.side, view.held) = (Side::Other, Some((left.clone(), now + 4 * INTERVAL)));
                }
            }
            Deceit::Rewrite { clients, at, more } => {
                let size = world.log.size(Side::One).saturating_add_signed(*more).max(at + 1);
                world.log.split(*at, size, now);
                clients.iter().for_each(|client| world.view(*client).side = Side::Other);
            }
            Deceit::Rollback { clients, choice } => {
                let seen = clients.iter().map(largest).min().unwrap();
                let past: Vec<_> =
                    world.log.past(Side::One).iter().filter(|shown| shown.head.place.size < seen).collect();
                let shown = past[usize::try_from(*choice).unwrap() % past.len()].clone();
                clients.iter().for_each(|client| world.view(*client).held = Some((shown.clone(), u64::MAX)));
            }
            Deceit::Freeze { clients } => {
                let shown = world.log.shown(Side::One).clone();
                clients.iter().for_each(|client| world.view(*client).held = Some((shown.clone(), u64::MAX)));
            }
            Deceit::Tell { clients, lie } => {
                let lie = lie.from(world.log.size(Side::One));
                clients.iter().for_each(|client| world.view(*client).lie = Some(lie));
            }
            Deceit::Unwitnessed => {
                world.log.witnesses.iter_mut().for_each(|witness| witness.mood = Mood::Dead { until: u64::MAX });
            }
            Deceit::Future { right } => {
                for (number, witness) in world.log.witnesses.iter_mut().enumerate() {
                    witness.ahead = if number == *right { 0 } else { 10 * TOLERANCE };
                }
            }
        });
        self.is_unwitnessed |= matches!(deceit, Deceit::Unwitnessed);
        self.deceived.extend(deceit.clients());
        if let Deceit::Tell { clients, .. } = deceit {
            self.told.extend(clients);
        }
        let name = deceit.name();
        *self.counts.entry(format!("lie {name}")).or_default() += 1;
    }

    /// After everyday life: the log grows slowly, and a tree that is shown to some becomes the larger one, so that there
    /// are tiles to prove it with.
    async fn keep_growing(&mut self, now: u64) -> Result<(), String> {
        self.stage.with(|world| {
            world.log.append(Side::One, 1, now);
            let behind = world.log.size(Side::One).saturating_sub(world.log.size(Side::Other));
            world.log.append(Side::Other, behind + 1, now);
        });
        let choice = self.random.number();
        if self.told.contains(&Client::Auditor) { self.audit(choice).await } else { Ok(()) }
    }
}

/// What happens to the log and on the way to it.
fn happen_to(world: &mut World, event: &Event, now: u64, is_unwitnessed: bool) {
    match event {
        Event::Append { side, count } => {
            let room = (LARGEST - ROOM).saturating_sub(world.log.size(*side)).max(1);
            world.log.append(*side, (*count).min(room), now);
        }
        Event::Outage { seconds } => world.outage = now + seconds,
        Event::Cached { client, steps, seconds } => {
            let side = world.view(*client).side;
            let shown = world.log.shown_before(side, *steps).clone();
            world.view(*client).cached = Some((shown, now + seconds));
        }
        Event::Held { client, seconds } => {
            let side = world.view(*client).side;
            let shown = world.log.shown(side).clone();
            world.view(*client).held = Some((shown, now + seconds));
        }
        Event::Broken { client, seconds } => world.view(*client).broken = now + seconds,
        Event::Witness { number, mood } if !is_unwitnessed => world.log.witnesses[*number].mood = *mood,
        Event::ClockAhead { number } => world.log.witnesses[*number].ahead = 10 * TOLERANCE,
        Event::Keys(active) => world.log.sign_with(active),
        _ => {}
    }
}

/// What a head says, without who signed it.
fn unsigned(note: &str) -> Option<String> {
    note.split_once("\n\n").map(|(text, _)| text.to_owned())
}
