//! Look-ups while records come and runs are made and merged.

use std::sync::atomic::AtomicBool;

use super::*;

/// Readers see, at every moment, all that was complete when they began, and nothing that is not there.
#[test]
fn look_ups_during_inserts_builds_and_merges_find_what_is_there() {
    const RECORDS: u64 = 6_000;
    let ground = Ground::new(0);
    let postings = ground.postings(SMALL);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for part in 0..RECORDS / 20 {
                ground.append(&postings, (part * 20..part * 20 + 20).map(record).collect());
                while postings.is_overdue() {
                    std::thread::yield_now();
                }
            }
            done.store(true, Ordering::SeqCst);
        });
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                build(&postings, &ground, &ground.sink()).unwrap();
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                ground.check().unwrap();
            }
        });
        for facet in [Facet::Tenant, Facet::Operation] {
            let (ground, postings, done) = (&ground, &postings, &done);
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    let Ok(end) = postings.complete_to(ground) else { continue };
                    let (print, step) = (print(facet, 0), if facet == Facet::Tenant { 1 } else { 2 });
                    let newest = numbers(&postings.newest(ground, print, end, usize::MAX).unwrap());
                    assert_eq!(newest.len() as u64, end.get().div_ceil(step));
                    assert!(newest.iter().rev().zip(0..).all(|(index, place)| *index == place * step));
                    let half = index(end.get() / 2);
                    let oldest = numbers(&postings.oldest(ground, print, half, 50).unwrap());
                    assert!(oldest.iter().all(|index| index % step == 0 && *index >= half.get()));
                    assert!(oldest.is_sorted() && (oldest.len() == 50 || end.get() < 200));
                }
            });
        }
    });
    build(&postings, &ground, &ground.sink()).unwrap();
    ground.model().compare(&postings, &ground, &all_prints(10));
    ground.check().unwrap();
}

/// A log that a reader loads while its releaser goes on, and that is unloaded again and again.
#[test]
fn nothing_is_missed_by_whoever_loads_while_records_come() {
    let ground = Ground::new(0);
    let sizes = Sizes { run_leaves: 1 << 20, run_bytes: usize::MAX, ..SMALL };
    let postings = ground.postings(sizes);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..3_000 {
                ground.append(&postings, vec![record(number)]);
            }
            done.store(true, Ordering::SeqCst);
        });
        while !done.load(Ordering::SeqCst) {
            postings.unload();
            let end = postings.complete_to(&ground).unwrap();
            let newest = postings.newest(&ground, print(Facet::Tenant, 0), end, usize::MAX).unwrap();
            assert_eq!(newest.len() as u64, end.get());
        }
    });
    ground.model().compare(&postings, &ground, &all_prints(10));
}

/// The thread brings up what is behind at its start, works when it is asked to, and ends when it is told to.
#[test]
fn the_thread_builds_what_is_due() {
    struct One(Arc<Ground>, Arc<Postings>);
    impl Logs for One {
        fn all(&self) -> Vec<LogId> {
            vec![LOG]
        }
        fn get(&self, log: LogId) -> Option<Indexed> {
            let source = Shared(Arc::clone(&self.0));
            let indexed = Indexed { name: "one".to_owned(), postings: Arc::clone(&self.1), source: Box::new(source) };
            (log == LOG).then_some(indexed)
        }
        fn sink(&self) -> &dyn Sink {
            self
        }
    }
    impl Sink for One {
        fn write(&self, puts: Vec<(Key, Vec<u8>)>, deletes: Vec<Key>) -> Result<(), SinkError> {
            self.0.sink().write(puts, deletes)
        }
    }
    struct Shared(Arc<Ground>);
    impl Source for Shared {
        fn store(&self) -> &dyn Store {
            &*self.0
        }
        fn size(&self) -> TreeSize {
            self.0.size()
        }
        fn postings(
            &self,
            range: Range<u64>,
            to: &mut Vec<(Print, LeafIndex)>,
        ) -> Result<Option<LeafIndex>, ReadError> {
            Source::postings(&*self.0, range, to)
        }
    }
    let upkeep = Arc::new(Upkeep::default());
    let ground = Arc::new(Ground::new(0));
    let postings = Arc::new(Postings::sized(LOG, 0, Arc::clone(&upkeep), SMALL));
    ground.append(&postings, (0..1_000).map(record).collect());
    let builder = Builder::start(upkeep, Arc::new(One(Arc::clone(&ground), Arc::clone(&postings)))).unwrap();
    let built = |records| {
        while Manifest::read(&ground.store, LOG, 0).unwrap().end() < records {
            std::thread::yield_now();
        }
    };
    built(990);
    while postings.complete_to(&*ground).is_err() {
        std::thread::yield_now();
    }
    ground.append(&postings, (1_000..1_200).map(record).collect());
    built(1_200);
    builder.close();
    ground.model().compare(&postings, &ground, &all_prints(10));
}
