//! What readers who follow something may cost, all together: how many there are, the memory of what is made for them, and
//! how many are read for at once.
//!
//! Memory is set aside before a chunk is made, for the most that it may have; when it is there, what it does not need is
//! given back; and the rest when its reader has taken it, or is gone. Whoever finds no room waits for its turn. A token, or
//! all readers without one, have half of the memory and no more, so that readers who take nothing hold up nobody else.
//! Beyond the bound are only chunks that have more than was thought possible, and what reading takes while a chunk is made.
//!
//! Not here: how a stream is written, and when a reader is let go (`event_stream`).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use cairn_listen::{Budget, Reservation};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::App;
use super::places::{Party, Place, Places};
use super::problem::Problem;
use crate::limits::Limits;
use crate::metrics::Following;

/// What memory is counted in: a permit for each byte would be too many.
const UNIT: usize = 1_024;

/// All readers who follow something.
pub(super) struct Followers {
    of_logs: Arc<Places>,
    of_streams: Arc<Places>,
    /// Units of memory of all parties.
    units: Arc<Semaphore>,
    /// Units of one party.
    most: usize,
    /// Those of each party that has a follower.
    shares: Mutex<BTreeMap<Party, Weak<Semaphore>>>,
    /// What is in memory, as it is and not as it may be: for whoever watches.
    held: Budget,
    reads: Arc<Semaphore>,
    cut: AtomicU64,
}

/// A reader's place among them.
pub(super) struct Seat {
    followers: Arc<Followers>,
    share: Arc<Semaphore>,
    _place: Place,
}

/// Memory for one chunk, until it is dropped.
pub(super) struct Room {
    own: OwnedSemaphorePermit,
    all: OwnedSemaphorePermit,
    held: Budget,
    charge: Reservation,
}

impl Followers {
    pub(super) fn new(limits: &Limits) -> Self {
        let units = limits.follower_bytes() / UNIT;
        Self {
            of_logs: Arc::new(Places::new(limits.event_streams(), "readers follow logs")),
            of_streams: Arc::new(Places::new(limits.stream_followers(), "readers follow streams")),
            units: Arc::new(Semaphore::new(units)),
            most: units / 2,
            shares: Mutex::default(),
            held: Budget::new(limits.follower_bytes()),
            // Whoever reads a page finds a turn, however many follow.
            reads: Arc::new(Semaphore::new((limits.bundle_reads() / 2).max(1))),
            cut: AtomicU64::new(0),
        }
    }

    /// A place for a reader who follows a log.
    pub(super) fn of_log(self: &Arc<Self>, party: Party) -> Result<Seat, Problem> {
        self.of_logs.take(party).map(|place| self.seat(place))
    }

    /// A place for a reader who follows a stream of records.
    pub(super) fn of_stream(self: &Arc<Self>, party: Party) -> Result<Seat, Problem> {
        self.of_streams.take(party).map(|place| self.seat(place))
    }

    fn seat(self: &Arc<Self>, place: Place) -> Seat {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let share = shares.get(&place.party()).and_then(Weak::upgrade).unwrap_or_else(|| {
            shares.retain(|_, share| share.strong_count() > 0);
            let share = Arc::new(Semaphore::new(self.most));
            shares.insert(place.party(), Arc::downgrade(&share));
            share
        });
        Seat { followers: Arc::clone(self), share, _place: place }
    }

    /// What there is to see of them.
    pub(super) fn seen(&self) -> Following {
        Following {
            logs: self.of_logs.taken(),
            streams: self.of_streams.taken(),
            bytes: self.held.used(),
            cut: self.cut.load(Ordering::Relaxed),
        }
    }
}

impl Seat {
    /// Room for as many bytes, once there is: at most as many as a party has, so that it comes in any case.
    pub(super) async fn room(&self, bytes: usize) -> Result<Room, Problem> {
        let units = bytes.div_ceil(UNIT).clamp(1, self.followers.most);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        // Its own first: whoever waits for that keeps nothing from others.
        let own = Arc::clone(&self.share).acquire_many_owned(units).await.map_err(Problem::internal)?;
        let all = Arc::clone(&self.followers.units).acquire_many_owned(units).await.map_err(Problem::internal)?;
        let held = self.followers.held.clone();
        let charge = held.forced(bytes);
        Ok(Room { own, all, held, charge })
    }

    /// Runs a read for a follower: some at once, which leave as many of the reads of whole bundles to others.
    pub(super) async fn read<T, E>(
        &self,
        app: &App,
        read: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        E: Into<Problem> + Send + 'static,
    {
        let turn = Arc::clone(&self.followers.reads).acquire_owned().await.map_err(Problem::internal)?;
        let read = move || (read(), turn);
        let (value, _turn) = app.read_bundles(move || Ok::<_, Problem>(read())).await?;
        value.map_err(E::into)
    }

    /// Counts a reader that was let go because it took too little.
    pub(super) fn cut(&self) {
        self.followers.cut.fetch_add(1, Ordering::Relaxed);
    }
}

impl Room {
    /// Gives back what a chunk of so many bytes does not need.
    pub(super) fn settle(&mut self, bytes: usize) {
        let units = bytes.div_ceil(UNIT);
        for permit in [&mut self.own, &mut self.all] {
            drop(permit.split(permit.num_permits().saturating_sub(units)));
        }
        self.charge = self.held.forced(bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn token(number: u8) -> Party {
        Party::Token(format!("{number:012x}").parse().unwrap())
    }

    #[tokio::test]
    async fn a_party_has_half_of_the_memory_and_the_rest_waits_for_its_turn() {
        let limits = Limits::default();
        let (most, followers) = (limits.follower_bytes(), Arc::new(Followers::new(&limits)));
        let seats = [1, 1, 2].map(|number| followers.of_stream(token(number)).unwrap());
        let mut first = seats[0].room(most).await.unwrap();
        let mut second = pin!(seats[1].room(UNIT));
        let mut waits = || second.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
        assert!(waits(), "its token has no more");
        drop(seats[2].room(most / 2).await.unwrap());
        first.settle(most / 2 - UNIT);
        assert!(!waits());
        assert_eq!((followers.seen().streams, followers.seen().bytes), (3, most / 2 - UNIT), "what came is gone again");
        assert_eq!(followers.seen().cut, 0);
    }

    #[tokio::test]
    async fn everything_comes_back_and_what_is_more_than_was_set_aside_is_told() {
        let followers = Arc::new(Followers::new(&Limits::default()));
        let seat = followers.of_log(Party::Anyone).unwrap();
        let mut room = seat.room(10).await.unwrap();
        room.settle(3 * UNIT);
        assert_eq!((followers.seen().logs, followers.seen().bytes), (1, 3 * UNIT));
        drop((room, seat));
        assert_eq!((followers.seen().logs, followers.seen().bytes), (0, 0));
        assert_eq!(followers.units.available_permits(), followers.most * 2);
        drop(followers.of_stream(token(1)).unwrap());
        assert_eq!(followers.shares.lock().unwrap().len(), 1, "what nobody uses goes when the next one comes");
    }
}
