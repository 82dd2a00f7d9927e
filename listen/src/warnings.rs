//! How many warnings of one kind the log of a service gets. Much of what peers do wrong is worth a line, also in libraries
//! beneath us, and a peer can do it a thousand times in a second: without a bound it fills the disk. What is left out is
//! counted, and told once in a minute and at the end.
//!
//! A kind is a place in the program. Only warnings and errors are bounded: what is told of good requests is told because
//! somebody asked for it.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata, Subscriber, warn};
use tracing_subscriber::layer::{Context, Layer};

/// Lines of one kind in a row, before they are held to their rate. A server of a thousand logs may tell one thing of each.
const IN_A_ROW: u32 = 1_000;
/// From one line of a kind to the next, in the long run: some ten megabytes in a day.
const EVERY: Duration = Duration::from_secs(1);
/// How often what was left out is told.
const TELL: Duration = Duration::from_secs(60);

/// The bound on warnings, as a layer over whatever writes them.
#[derive(Debug, Clone, Default)]
pub struct WarningLimit(Arc<Mutex<HashMap<Identifier, Kind>>>);

/// Tells, when it is dropped, what was left out and not told of yet.
#[derive(Debug)]
#[must_use = "what is left out in the last minute is told when this is dropped"]
pub struct ToldAtEnd(WarningLimit);

#[derive(Debug)]
struct Kind {
    metadata: &'static Metadata<'static>,
    /// When the next line would be due, were there none in a row.
    due: Instant,
    /// Lines that were left out since this was last told.
    left_out: u64,
    /// And all that were told of before.
    told: u64,
}

impl WarningLimit {
    /// The bound for this process, with a thread that tells what is left out for as long as the process lives.
    ///
    /// # Errors
    /// What the system says if it gives no thread.
    pub fn of_process() -> io::Result<Self> {
        let limit = Self::default();
        let told = limit.clone();
        thread::Builder::new().name("warnings".to_owned()).spawn(move || {
            loop {
                thread::sleep(TELL);
                told.tell();
            }
        })?;
        Ok(limit)
    }

    /// Whoever holds this until the process ends has the rest told.
    pub fn told_at_end(&self) -> ToldAtEnd {
        ToldAtEnd(self.clone())
    }

    /// How many lines were left out so far, by where in the program they came from.
    #[must_use]
    pub fn dropped(&self) -> BTreeMap<&'static str, u64> {
        let mut dropped = BTreeMap::new();
        for kind in self.lock().values().filter(|kind| kind.left_out + kind.told > 0) {
            *dropped.entry(kind.metadata.target()).or_default() += kind.left_out + kind.told;
        }
        dropped
    }

    fn tell(&self) {
        // The lock is free again before anything is said: that goes through here as well.
        for (metadata, lines) in self.take_left_out() {
            let (place, line) = (metadata.target(), metadata.line());
            warn!(place, line, lines, "too many warnings of one kind: so many lines were left out");
        }
    }

    fn take_left_out(&self) -> Vec<(&'static Metadata<'static>, u64)> {
        let mut kinds = self.lock();
        let left_out = kinds.values_mut().filter(|kind| kind.left_out > 0);
        let take = |kind: &mut Kind| {
            kind.told = kind.told.saturating_add(kind.left_out);
            (kind.metadata, std::mem::take(&mut kind.left_out))
        };
        left_out.map(take).collect()
    }

    fn admit(&self, metadata: &'static Metadata<'static>, now: Instant) -> bool {
        let mut kinds = self.lock();
        // As many as there are places in the program, at most.
        let kind = kinds.entry(metadata.callsite()).or_insert(Kind { metadata, due: now, left_out: 0, told: 0 });
        let due = kind.due.max(now);
        if due.duration_since(now) >= EVERY * IN_A_ROW {
            kind.left_out = kind.left_out.saturating_add(1);
            return false;
        }
        kind.due = due + EVERY;
        true
    }

    // A panic while the lock is held leaves the map whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<Identifier, Kind>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ToldAtEnd {
    fn drop(&mut self) {
        self.0.tell();
    }
}

impl<S: Subscriber> Layer<S> for WarningLimit {
    /// Asked of what the filter lets through, and of nothing else.
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        *metadata.level() > Level::WARN || self.admit(metadata, Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tracing::callsite::Callsite as _;
    use tracing::{debug, info};
    use tracing_subscriber::filter::LevelFilter;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// Counts what would be written.
    #[derive(Clone, Default)]
    struct Written(Arc<AtomicUsize>);

    impl<S: Subscriber> Layer<S> for Written {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Written {
        fn take(&self) -> usize {
            self.0.swap(0, Ordering::Relaxed)
        }
    }

    #[test]
    fn warnings_of_one_kind_are_bounded_and_what_is_left_out_is_told() {
        let (limit, written) = (WarningLimit::default(), Written::default());
        let subscriber =
            tracing_subscriber::registry().with(written.clone()).with(LevelFilter::INFO).with(limit.clone());
        let most = IN_A_ROW as usize;
        tracing::subscriber::with_default(subscriber, || {
            (0..3 * most).for_each(|_| warn!("a peer did it again"));
            assert!((most..most + 60).contains(&written.take()), "the test may take some seconds");
            warn!("another kind");
            (0..3 * most).for_each(|_| info!("a request"));
            (0..3 * most).for_each(|_| debug!("nobody wants to know"));
            assert_eq!(written.take(), 1 + 3 * most);
            limit.tell();
            assert_eq!(written.take(), 1);
            limit.tell();
            assert_eq!(written.take(), 0, "told once");
            warn!("another kind");
            (0..2 * most).for_each(|_| warn!("a third kind"));
            written.take();
            drop(limit.told_at_end());
            assert_eq!(written.take(), 1, "told at the end");
        });
        let dropped: Vec<(&str, u64)> = limit.dropped().into_iter().collect();
        let [(place, lines)] = dropped[..] else { panic!("{dropped:?}") };
        assert_eq!(place, module_path!());
        assert!((3 * most as u64 - 120..=3 * most as u64).contains(&lines), "what was told counts too: {lines}");
    }

    #[test]
    fn a_kind_has_so_many_in_a_row_and_one_in_a_second_from_then_on() {
        let limit = WarningLimit::default();
        let site = tracing::callsite! { name: "a line", kind: tracing::metadata::Kind::EVENT, fields: };
        let (begun, admitted) = (Instant::now(), |now| limit.admit(site.metadata(), now));
        assert_eq!((0..5_000).filter(|_| admitted(begun)).count(), IN_A_ROW as usize);
        let hour = (0..36_000).filter(|tenth| admitted(begun + Duration::from_millis(100 * tenth))).count();
        assert!((3_598..=3_600).contains(&hour), "{hour}");
        let left_out: u64 = limit.take_left_out().iter().map(|(_, lines)| lines).sum();
        assert_eq!(left_out, 4_000 + 36_000 - hour as u64);
        assert!(limit.take_left_out().is_empty());
        let rested = begun + Duration::from_secs(3 * 3_600);
        assert_eq!((0..5_000).filter(|_| admitted(rested)).count(), IN_A_ROW as usize);
    }
}
