//! A monitor of generated histories: the client's follower, with what a process around it does: keep its state, show its
//! head, pull its peers' and be restarted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn::fetch::Remote;
use cairn::gossip::Board;
use cairn::monitor::{Alarm, Depth, Event, Evidence, Follower, Kept, Monitor, Now, Rules, StateError, Step};
use cairn_tree::checkpoint::{LogKeys, VerifiedCheckpoint};
use jiff::Timestamp;

use super::log::EPOCH;

/// One monitor.
pub(super) struct Watcher {
    pub(super) follower: Follower,
    remote: Arc<Remote>,
    keys: LogKeys,
    rules: Rules,
    depth: Depth,
    /// What its file holds.
    saved: Option<Vec<u8>>,
    pub(super) board: Arc<Board>,
    /// When it looks next.
    pub(super) next: u64,
    start: Instant,
}

/// What came of a look.
pub(super) struct Looked {
    pub(super) step: Step,
    pub(super) raised: Vec<(Alarm, Option<Evidence>)>,
}

impl Watcher {
    pub(super) fn new(remote: Arc<Remote>, keys: LogKeys, rules: Rules, depth: Depth) -> Self {
        let follower = begin(&remote, Kept::nothing(keys.clone()), &rules, depth);
        let board = Arc::new(Board::new([keys.origin()]));
        Self { follower, remote, keys, rules, depth, saved: None, board, next: 0, start: Instant::now() }
    }

    /// The newest head that it holds to.
    pub(super) fn newest(&self) -> Option<&VerifiedCheckpoint> {
        self.follower.monitor().newest()
    }

    /// The alarms that go on.
    pub(super) fn alarms(&self) -> Vec<Alarm> {
        self.follower.ledger().active().map(|active| active.alarm).collect()
    }

    pub(super) async fn look(&mut self, now: u64) -> Looked {
        let wall = Timestamp::from_second(i64::try_from(EPOCH + now).unwrap()).unwrap();
        let mut step = self.follower.step(Now { instant: self.start + Duration::from_secs(now), wall }).await;
        let mut raised = Vec::new();
        for event in core::mem::take(&mut step.events) {
            if let Event::Raised { alarm, evidence, .. } = event {
                if evidence.is_some() {
                    self.follower.filed(alarm, "kept".to_owned());
                }
                raised.push((alarm, evidence.map(|evidence| *evidence)));
            }
        }
        if step.has_news {
            self.saved = Some(self.follower.encode().unwrap());
        }
        if let Some(head) = self.newest() {
            self.board.show(head);
        }
        self.next = now + step.wait.as_secs().max(1);
        Looked { step, raised }
    }

    /// Ends and begins again, with what its file holds.
    pub(super) fn restart(&mut self) {
        let before = self.alarms();
        let nothing = || Kept::nothing(self.keys.clone());
        let kept = self.saved.as_ref().map_or_else(nothing, |bytes| Kept::decode(bytes, &self.keys).unwrap());
        self.follower = begin(&self.remote, kept, &self.rules, self.depth);
        assert_eq!(self.alarms(), before, "an alarm outlives a restart");
        self.board = Arc::new(Board::new([self.keys.origin()]));
        if let Some(head) = self.newest() {
            self.board.show(head);
        }
    }

    /// Finds its file damaged, says so, and is given the whole one again.
    pub(super) fn find_damage(&mut self, place: u64) {
        if let Some(saved) = &self.saved {
            let mut damaged = saved.clone();
            let place = usize::try_from(place).unwrap() % damaged.len();
            damaged[place] ^= 1 << (place % 8);
            let found = Kept::decode(&damaged, &self.keys).unwrap_err();
            assert!(matches!(found, StateError::Damaged(_)), "{found}");
        }
        self.restart();
    }
}

fn begin(remote: &Arc<Remote>, kept: Kept, rules: &Rules, depth: Depth) -> Follower {
    let monitor = Monitor::new(Arc::clone(remote), kept.keys, kept.known, depth, 4);
    Follower::new(monitor, kept.ledger, rules.clone())
}
