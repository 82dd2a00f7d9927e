//! Turns at streams whose records are judged: whoever brings some has their streams to itself from before the judgement until
//! the log has them. So each is judged against a state that still is when it comes to the sequencer, and of many who write
//! to one stream all succeed, in the order in which they came.
//!
//! Waiting is bounded in number and in time. A turn is no lock on a stream: who is not judged writes to it at any time, and
//! the sequencer alone decides what comes next.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cairn_tree::store::LogId;
use tokio::sync::OwnedMutexGuard;

use crate::engine::postings::Print;
use crate::limits::JUDGE_WAITING;

type Key = (LogId, Print);

/// The queues of streams that somebody has or waits for.
#[derive(Default)]
pub struct Turns {
    queues: Mutex<HashMap<Key, Queue>>,
}

struct Queue {
    /// Fair: whoever waits longest is next.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// How many have it or wait for it.
    people: usize,
}

/// That its holder has some streams to itself, among those who take turns.
pub struct Turn(#[expect(dead_code, reason = "they are let go of when it is dropped")] Vec<Place>);

/// Why somebody got no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoTurn {
    /// As many wait as may.
    #[error("{JUDGE_WAITING} requests wait for the same stream already")]
    Full,
    /// It took too long.
    #[error("those before it in the same stream took longer than {} seconds", .0.as_secs())]
    TooLong(Duration),
}

/// A place in the queue of a stream, and from some time on the turn.
struct Place {
    turns: Arc<Turns>,
    key: Key,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for the turn at all of these streams of a log. Everybody takes them in the same order, so that nobody waits for
    /// somebody who waits for him.
    ///
    /// # Errors
    /// [`NoTurn`].
    pub async fn take(self: &Arc<Self>, log: LogId, streams: &BTreeSet<Print>, wait: Duration) -> Result<Turn, NoTurn> {
        let places = streams.iter().map(|stream| self.queue((log, *stream))).collect::<Result<Vec<_>, _>>()?;
        let come = async {
            let mut held = Vec::with_capacity(places.len());
            for (mut place, turn) in places {
                place.turn = Some(turn.lock_owned().await);
                held.push(place);
            }
            Turn(held)
        };
        tokio::time::timeout(wait, come).await.map_err(|_| NoTurn::TooLong(wait))
    }

    /// A place at the end of a queue.
    fn queue(self: &Arc<Self>, key: Key) -> Result<(Place, Arc<tokio::sync::Mutex<()>>), NoTurn> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.entry(key).or_insert_with(|| Queue { turn: Arc::default(), people: 0 });
        if queue.people > JUDGE_WAITING {
            return Err(NoTurn::Full);
        }
        queue.people += 1;
        Ok((Place { turns: Arc::clone(self), key, turn: None }, Arc::clone(&queue.turn)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.turn.take());
        let mut queues = self.turns.queues.lock().unwrap_or_else(PoisonError::into_inner);
        match queues.get_mut(&self.key) {
            Some(queue) if queue.people > 1 => queue.people -= 1,
            _ => drop(queues.remove(&self.key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::postings::{Facet, PrintSecret};

    const LONG: Duration = Duration::from_secs(3_600);

    fn streams(names: &[&str]) -> BTreeSet<Print> {
        let secret = PrintSecret::new([7; PrintSecret::LEN]);
        names.iter().map(|name| Print::new(&secret, Facet::Object, &[name])).collect()
    }

    fn log() -> LogId {
        LogId::new(1)
    }

    #[tokio::test(start_paused = true)]
    async fn turns_come_in_order_and_whoever_waits_too_long_or_behind_too_many_is_told() {
        let turns = Arc::new(Turns::default());
        let (one, both) = (streams(&["1"]), streams(&["1", "2"]));
        let first = turns.take(log(), &both, LONG).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for number in 0..JUDGE_WAITING {
            let (own, order, one) = (Arc::clone(&turns), Arc::clone(&order), one.clone());
            waiting.push(tokio::spawn(async move {
                let _turn = own.take(log(), &one, LONG).await.unwrap();
                order.lock().unwrap().push(number);
            }));
            tokio::task::yield_now().await;
        }
        assert_eq!(turns.take(log(), &both, LONG).await.err(), Some(NoTurn::Full));
        let other = turns.take(log(), &streams(&["3"]), LONG).await.unwrap();
        let brief = Duration::from_secs(2);
        let late = turns.take(log(), &streams(&["2"]), brief).await;
        assert_eq!(late.err(), Some(NoTurn::TooLong(brief)));
        drop((first, other));
        for one in waiting {
            one.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), (0..JUDGE_WAITING).collect::<Vec<_>>());
        assert!(turns.queues.lock().unwrap().is_empty());
    }

    /// Each waits for what the other has, unless they come in the same order.
    #[tokio::test]
    async fn nobody_waits_for_somebody_who_waits_for_him() {
        let turns = Arc::new(Turns::default());
        let task = |names: [&'static str; 2]| {
            let turns = Arc::clone(&turns);
            tokio::spawn(async move {
                for _ in 0..200 {
                    let turn = turns.take(log(), &streams(&names), LONG).await.unwrap();
                    tokio::task::yield_now().await;
                    drop(turn);
                }
            })
        };
        let tasks = [task(["1", "2"]), task(["2", "1"]), task(["1", "3"]), task(["3", "2"])];
        for task in tasks {
            task.await.unwrap();
        }
    }
}
