//! Every write of the builder fails once, with and without having been done: the next start finds the same answers, and
//! brings the runs to the same end.

use std::sync::atomic::AtomicBool;

use super::*;

/// Does a number of writes, then fails: before the next one, or right after it.
struct Failing<'a> {
    direct: DirectSink<'a>,
    left: AtomicUsize,
    does_last: bool,
    fired: AtomicBool,
}

impl Sink for Failing<'_> {
    fn write(&self, puts: Vec<(Key, Vec<u8>)>, deletes: Vec<Key>) -> Result<(), SinkError> {
        let fails = || Err(SinkError("on purpose".to_owned()));
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return self.direct.write(puts, deletes);
        }
        if !self.fired.swap(true, Ordering::SeqCst) && self.does_last {
            self.direct.write(puts, deletes)?;
        }
        fails()
    }
}

#[test]
fn a_crash_at_any_write_loses_nothing_and_leaves_nothing() {
    let prints = all_prints(20);
    for does_last in [false, true] {
        let mut step = 0;
        loop {
            let ground = Ground::new(3);
            let postings = ground.postings(SMALL);
            for part in 0..24 {
                ground.append(&postings, (part * 30..part * 30 + 30).map(record).collect());
                if part % 8 == 7 && part < 20 {
                    build(&postings, &ground, &ground.sink()).unwrap();
                }
            }
            let (left, fired) = (AtomicUsize::new(step), AtomicBool::new(false));
            let failing = Failing { direct: ground.sink(), left, does_last, fired };
            let ended = build(&postings, &ground, &failing);
            let fired = failing.fired.load(Ordering::SeqCst);
            assert_eq!(ended.is_err(), fired);
            // Until the end of the process: answers from what is in memory.
            ground.model().compare(&postings, &ground, &prints);
            drop(postings);
            let restarted = ground.postings(SMALL);
            build(&restarted, &ground, &ground.sink()).unwrap();
            ground.model().compare(&restarted, &ground, &prints);
            ground.check().unwrap();
            let manifest = Manifest::read(&ground.store, LOG, 3).unwrap();
            assert!(manifest.dead().is_empty());
            for (key, _) in ground.rows() {
                let id = u64::from_be_bytes(*key.suffix().first_chunk().unwrap());
                assert!(manifest.runs().iter().any(|run| run.id == id), "run {id} is nobody's");
            }
            if !fired {
                break;
            }
            step += 1;
        }
        assert!(step > 5, "{step}");
    }
}

#[test]
fn a_rebuild_that_ends_half_way_is_finished_by_the_next_start() {
    for damaged_manifest in [false, true] {
        let mut step = 0;
        loop {
            let ground = Ground::new(0);
            let postings = ground.postings(SMALL);
            ground.append(&postings, (0..300).map(record).collect());
            build(&postings, &ground, &ground.sink()).unwrap();
            drop(postings);
            if damaged_manifest {
                let mut batch = Batch::new();
                batch.put(Manifest::key(LOG), vec![1, 2, 3]);
                ground.store.commit(batch).unwrap();
            }
            let (left, fired) = (AtomicUsize::new(step), AtomicBool::new(false));
            let failing = Failing { direct: ground.sink(), left, does_last: false, fired };
            let ended = ground.rebuild(&failing);
            let fired = failing.fired.load(Ordering::SeqCst);
            assert_eq!(ended.is_err(), fired);
            let restarted = ground.postings(SMALL);
            match build(&restarted, &ground, &ground.sink()) {
                Ok(()) => {}
                // It has to be begun again, for a manifest that can't be read names no runs.
                Err(BuildError::Read(ReadError::Row(_))) if damaged_manifest => {
                    ground.rebuild(&ground.sink()).unwrap();
                }
                Err(error) => panic!("{error}"),
            }
            ground.model().compare(&restarted, &ground, &all_prints(20));
            ground.check().unwrap();
            if !fired {
                break;
            }
            step += 1;
        }
        assert!(step > 1, "{step}");
    }
}
