//! What a monitor must say, told from what it was really served. It knows nothing of how the client finds out.
//!
//! After each look it names the alarms that must go on and those that may begin. Whatever else begins is a false alarm,
//! whatever is missing a lie that went unseen.

use std::collections::{BTreeMap, BTreeSet};

use cairn::monitor::{Alarm, Depth};

use super::log::{EPOCH, Fork, LARGEST, Note, Place, QUORUM, Side};
use super::plan::{MAX_AGE, Plan, STALE_AFTER, TOLERANCE, UNREACHABLE_AFTER};
use super::world::{Lie, Served};

/// What one monitor was shown so far.
pub(super) struct Oracle {
    depth: Depth,
    has_policy: bool,
    withheld_after: u64,
    /// The largest size that each of the log's two resources has shown.
    largest: [u64; 2],
    stale_since: Option<u64>,
    silent_since: Option<u64>,
    /// Heads of peers that the monitor took, by peer, and since when it was shown less.
    heard: BTreeMap<&'static str, Heard>,
    /// A head that the monitor holds to and could not read, of a tree that the log no longer serves.
    unread: Option<Place>,
    /// Heads that the monitor was shown, of a tree that the log no longer served: the log is held to them.
    left: Vec<Place>,
    /// Every alarm that ever began.
    pub(super) raised: BTreeSet<Alarm>,
}

struct Heard {
    place: Place,
    since: Option<u64>,
    /// It was not compared before.
    is_new: bool,
}

/// What goes on after a look: what must, and what may beside it.
struct Alarms {
    must: BTreeSet<Alarm>,
    may: BTreeSet<Alarm>,
}

/// A look and what is true.
pub(super) struct Look<'a> {
    pub(super) now: u64,
    pub(super) served: &'a Served,
    pub(super) lie: Option<Lie>,
    pub(super) fork: Fork,
    /// The tree of which tiles and entries are served, whatever a cache has of heads.
    pub(super) content: Side,
    /// The log has signed a root that belongs to nothing.
    pub(super) has_forged: bool,
    /// The newest head that the monitor held to before and after.
    pub(super) before: Option<Place>,
    pub(super) after: Option<Place>,
    pub(super) unverified: Option<&'a str>,
    pub(super) raised: &'a [Alarm],
    pub(super) going_on: &'a [Alarm],
}

impl Oracle {
    pub(super) fn new(plan: &Plan, depth: Depth) -> Self {
        Self {
            depth,
            has_policy: plan.has_policy,
            withheld_after: plan.withheld_after.unwrap_or(STALE_AFTER),
            largest: [0; 2],
            stale_since: None,
            silent_since: None,
            heard: BTreeMap::new(),
            unread: None,
            left: Vec::new(),
            raised: BTreeSet::new(),
        }
    }

    /// What both of the log's resources have shown, or the only one that it has.
    pub(super) fn smallest_shown(&self) -> u64 {
        self.largest.into_iter().filter(|size| *size > 0).min().unwrap_or(0)
    }

    /// Its patience begins anew, and what it had heard is forgotten.
    pub(super) fn restarted(&mut self) {
        (self.stale_since, self.silent_since) = (None, None);
        self.heard.clear();
    }

    /// The monitor took a peer's head.
    pub(super) fn heard(&mut self, peer: &'static str, place: Place) {
        if self.heard.get(peer).is_none_or(|heard| heard.place != place) {
            self.heard.insert(peer, Heard { place, since: None, is_new: true });
        }
    }

    /// Judges a look.
    pub(super) fn judge(&mut self, look: &Look<'_>) -> Result<(), String> {
        let mut alarms = self.alarms(look);
        alarms.must.extend(self.must_of_gossip(look));
        alarms.must.extend(self.must_of_left(look));
        // No lie of these histories ends, so that no head that nothing fitted is ever shown to fit.
        alarms.must.extend(self.raised.get(&Alarm::Misfit));
        // A fork is proven by what an alarm carries, which is checked where it is raised.
        if look.has_forged || look.fork.is_real() {
            alarms.may.insert(Alarm::Fork);
        }
        let is_false = |alarm: &&Alarm| !alarms.must.contains(alarm) && !alarms.may.contains(alarm);
        if let Some(alarm) = look.raised.iter().find(is_false) {
            return Err(format!("second {}: a false alarm: {alarm}; {:?}", look.now, look.served));
        }
        if let Some(alarm) = alarms.must.iter().find(|alarm| !look.going_on.contains(alarm)) {
            return Err(format!("second {}: no alarm: {alarm}; {:?} {:?}", look.now, look.unverified, look.served));
        }
        self.raised.extend(look.raised);
        Ok(())
    }

    fn alarms(&mut self, look: &Look<'_>) -> Alarms {
        let Served { heads, bent, told, refused, .. } = look.served;
        // A cache may still have a newer head of a tree that the log has left. The log signed it, and what it serves, past
        // caches too, is not that tree. That it serves another one is seen in the next look.
        let content = Place { side: look.content, size: LARGEST };
        let is_left = |place: &Place| !look.fork.agree(*place, content);
        if look.unverified.is_some() && look.after != look.before {
            self.unread = look.after.filter(is_left);
        }
        if *refused || look.unverified.is_some() {
            let since = *self.silent_since.get_or_insert(look.now);
            let silent = (look.now - since >= UNREACHABLE_AFTER).then_some(Alarm::Unreachable);
            // Heads that are old are seen to be so, whatever else can't be had.
            let stale = if *refused { None } else { self.stale(look) };
            return Alarms::must(silent.into_iter().chain(stale));
        }
        self.silent_since = None;
        let is_bent = bent.iter().any(|bent| *bent);
        if is_bent && matches!(look.lie, Some(Lie::WrongKey { .. } | Lie::BadSignature { .. })) {
            return Alarms::must([Alarm::Signature]);
        }
        if is_bent && matches!(look.lie, Some(Lie::ForgedRoot { .. })) {
            return Alarms::must([Alarm::Misfit]);
        }
        let shown: Vec<Place> = heads.iter().flatten().map(|note| note.place).collect();
        let largest = shown.iter().map(|place| place.size).max().unwrap_or(0);
        let read = look.before.map_or(0, |before| before.size);
        if let Some(unread) = self.unread.take().filter(|unread| look.before == Some(*unread)) {
            self.left.push(unread);
            return Alarms::must([Alarm::Misfit]);
        }
        let contradicts = |place: &&Place| look.before.is_some_and(|before| !look.fork.agree(before, **place));
        if shown.iter().find(contradicts).is_some_and(|place| place.size >= read) {
            return Alarms::must([Alarm::Fork]);
        }
        let left: Vec<Place> = shown.iter().filter(|place| place.size > read && is_left(place)).copied().collect();
        if !left.is_empty() {
            self.left.extend(left);
            return Alarms::must([Alarm::Misfit]);
        }
        if *told > 0 && largest > read {
            match look.lie {
                Some(Lie::ShortTiles | Lie::AlienTiles) => return Alarms::must([Alarm::Misfit]),
                Some(Lie::RewrittenEntry { index }) if self.depth == Depth::Entries && index >= read => {
                    return Alarms::must([Alarm::WrongEntry]);
                }
                _ => {}
            }
        }
        let alarms = self.alarms_of_heads(look);
        if shown.iter().any(|place| contradicts(&place)) && look.going_on.contains(&Alarm::Fork) {
            // A smaller head of the other tree was seen through, which is worse than all that is wrong with it.
            return Alarms { must: BTreeSet::new(), may: alarms.must };
        }
        alarms
    }

    /// What is to be said of heads that are of the tree that is known.
    fn alarms_of_heads(&mut self, look: &Look<'_>) -> Alarms {
        let Served { heads, bent, .. } = look.served;
        let mut alarms = Alarms::must(self.stale(look));
        if self.has_policy
            && let Some(checkpoint) = &heads[0]
        {
            alarms.must.extend(unwitnessed(checkpoint, bent[0], look.now));
        }
        for heard in self.heard.values_mut() {
            let is_behind = look.after.is_none_or(|after| after.size < heard.place.size);
            heard.since = is_behind.then(|| heard.since.unwrap_or(look.now));
            if heard.since.is_some_and(|since| look.now - since >= self.withheld_after) {
                // What contradicts is an alarm of its own, after which it need not be waited for.
                let is_ours = look.after.is_none_or(|after| look.fork.agree(after, heard.place));
                if is_ours { &mut alarms.must } else { &mut alarms.may }.insert(Alarm::Withheld);
            }
        }
        alarms
    }

    /// What must be said if one of the log's resources shows less than it did, and has for too long.
    fn stale(&mut self, look: &Look<'_>) -> Option<Alarm> {
        let sizes = [0, 1].map(|resource| look.served.heads[resource].as_ref().map(|note| note.place.size));
        let is_stale = (0..2).any(|resource| sizes[resource].is_some_and(|size| size < self.largest[resource]));
        if look.unverified.is_none() {
            (0..2).for_each(|one| self.largest[one] = self.largest[one].max(sizes[one].unwrap_or(0)));
        }
        self.stale_since = is_stale.then(|| self.stale_since.unwrap_or(look.now));
        self.stale_since.filter(|since| look.now - since >= STALE_AFTER).map(|_| Alarm::Rollback)
    }

    /// A head of the other tree that a peer was shown, no larger than what the monitor was shown: the tiles that prove
    /// the fork are those that the monitor can have.
    fn must_of_gossip(&mut self, look: &Look<'_>) -> Option<Alarm> {
        let after = look.after?;
        let can_have = !look.served.refused && look.unverified.is_none() && look.lie.is_none();
        let mut must = None;
        for heard in self.heard.values_mut().filter(|heard| heard.is_new) {
            heard.is_new = false;
            if can_have && heard.place.size <= after.size && !look.fork.agree(heard.place, after) {
                must = Some(Alarm::Fork);
            }
        }
        must
    }

    /// A head of the tree that the log left, no larger than one of the other tree that the monitor has read since: the tiles
    /// that prove the fork are those of the latter.
    fn must_of_left(&self, look: &Look<'_>) -> Option<Alarm> {
        let after = look.after?;
        let can_have = !look.served.refused && look.unverified.is_none() && look.lie.is_none();
        let contradicts = |left: &Place| left.size <= after.size && !look.fork.agree(*left, after);
        (can_have && self.left.iter().any(contradicts)).then_some(Alarm::Fork)
    }
}

impl Alarms {
    fn must(alarms: impl IntoIterator<Item = Alarm>) -> Self {
        Self { must: alarms.into_iter().collect(), may: BTreeSet::new() }
    }
}

/// What must be said of a checkpoint that its witnesses do not vouch for as they should.
fn unwitnessed(checkpoint: &Note, is_bent: bool, now: u64) -> Option<Alarm> {
    if is_bent || checkpoint.times.len() < QUORUM {
        return Some(Alarm::Quorum);
    }
    let now = EPOCH + now;
    // Clocks that are ahead are left out of the count; what is left must be a quorum, and a quorum of it young enough.
    let past = checkpoint.attested_before(now + TOLERANCE);
    let Some(attested) = past else { return Some(Alarm::FromTheFuture) };
    (attested + MAX_AGE < now).then_some(Alarm::TooOld)
}
