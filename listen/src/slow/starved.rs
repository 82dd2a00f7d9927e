//! Whether threads get too little of the processor, as the kernel counts it.
//!
//! Threads of spare time get next to nothing while those that go first have enough to do for all cores, whoever waits for them,
//! and many who ask for much at once are honest. So it is looked at all the time. Where they get less than a tenth of what
//! they want, others do their work, that are nicer than most but get about a tenth of what one of those gets; until there is spare
//! time again, and these had half of what they want, or wanted nothing, for a second.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, io};

use rustix::thread::Pid;
use tokio::runtime::Handle;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(100);
/// From one look to another at which a thread wants to work, it may have slept. From so many on it hardly has.
const LOOKS: usize = 4;
/// The part of the time in which they want to work that spare threads have at least.
const LEAST: f64 = 0.1;
/// What those that stand in for them have where there is spare time.
const ENOUGH: f64 = 0.5;
/// For how many looks they have, and spare ones would have some, before these work again.
const CALM: u32 = 10;

/// Who does the work of the slow lane.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// Those of spare time.
    #[default]
    Spare,
    /// Those that are nicer than others, and are never without any.
    Nice,
}

/// Which threads work, and which there are.
#[derive(Debug, Default)]
pub(super) struct Shift {
    are_nice: AtomicBool,
    all: Mutex<Vec<(Threads, Pid)>>,
}

impl Shift {
    pub(super) fn threads(&self) -> Threads {
        if self.are_nice.load(Relaxed) { Threads::Nice } else { Threads::Spare }
    }

    fn set(&self, threads: Threads) {
        self.are_nice.store(threads == Threads::Nice, Relaxed);
    }

    /// The thread that calls is one of these.
    pub(super) fn join(&self, threads: Threads) {
        self.all().push((threads, rustix::thread::gettid()));
    }

    fn ids(&self, threads: Threads) -> Vec<Pid> {
        self.all().iter().filter(|(of, _)| *of == threads).map(|(_, id)| *id).collect()
    }

    fn all(&self) -> MutexGuard<'_, Vec<(Threads, Pid)>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes them as often as they get too little, or enough; on a thread of its own, which is never seen at work itself, until
    /// the sender is dropped. Not while the kernel does not tell.
    pub(super) fn watch(&self, spare: &Handle, end: &Receiver<()>) {
        let (mut watch, probe) = (Watch::default(), Probe::default());
        while end.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            let now = Instant::now();
            let seen: io::Result<Vec<_>> = self.ids(watch.threads).into_iter().map(look).collect();
            match seen {
                Ok(seen) => {
                    self.set(watch.next(now, seen, watch.threads == Threads::Spare || probe.is_answered(spare)))
                }
                // The threads end, and so does this.
                Err(_) if end.try_recv() == Err(TryRecvError::Disconnected) => return,
                Err(error) if is_lasting(&error) => {
                    tracing::warn!(%error, "the kernel does not tell what threads get: no spare time for crowds");
                    return self.set(Threads::Nice);
                }
                // Too many open files, perhaps.
                Err(_) => {}
            }
        }
    }
}

/// Asks for spare time.
#[derive(Debug, Default)]
struct Probe {
    is_under_way: Arc<AtomicBool>,
}

impl Probe {
    /// Whether there was some since this was last asked.
    fn is_answered(&self, spare: &Handle) -> bool {
        let is_answered = !self.is_under_way.swap(true, Relaxed);
        if is_answered {
            let answers = Arc::clone(&self.is_under_way);
            drop(spare.spawn(async move { answers.store(false, Relaxed) }));
        }
        is_answered
    }
}

/// Whether it will be so the next time.
fn is_lasting(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, NotFound, PermissionDenied};
    matches!(error.kind(), InvalidData | NotFound | PermissionDenied)
}

/// A thread at one look.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// Whether it works, or waits for a core.
    wants: bool,
    /// How long it has worked, ever.
    worked: Duration,
}

/// See proc_pid_stat(5), and sched-stats in the kernel's documentation.
fn look(thread: Pid) -> io::Result<Seen> {
    let folder: PathBuf = ["/proc/self/task", &thread.to_string()].iter().collect();
    let (stat, schedstat) = (fs::read_to_string(folder.join("stat"))?, fs::read_to_string(folder.join("schedstat"))?);
    // The name, in brackets, may have any characters in it.
    let state = stat.rsplit_once(')').and_then(|(_, fields)| fields.trim_start().chars().next());
    let worked = schedstat.split_ascii_whitespace().next().and_then(|nanoseconds| nanoseconds.parse().ok());
    let (Some(state), Some(worked)) = (state, worked) else { return Err(io::ErrorKind::InvalidData.into()) };
    Ok(Seen { wants: state == 'R', worked: Duration::from_nanos(worked) })
}

/// What was seen of the threads that work.
#[derive(Debug, Default)]
struct Watch {
    threads: Threads,
    /// Looks at which those that are nice had enough, one after the other.
    calm: u32,
    looks: VecDeque<(Instant, Vec<Seen>)>,
}

impl Watch {
    /// Who works from here on. Whether there is spare time is of account while those that are nice work.
    fn next(&mut self, now: Instant, seen: Vec<Seen>, is_spare_time: bool) -> Threads {
        self.looks.push_back((now, seen));
        if self.looks.len() > LOOKS {
            self.looks.pop_front();
        }
        let share = self.share();
        let changes = match self.threads {
            Threads::Spare => share.is_some_and(|share| share < LEAST).then_some(Threads::Nice),
            Threads::Nice => {
                let has_enough = is_spare_time && share.is_none_or(|share| share >= ENOUGH);
                self.calm = if has_enough { self.calm + 1 } else { 0 };
                (self.calm == CALM).then_some(Threads::Spare)
            }
        };
        if let Some(threads) = changes {
            *self = Self { threads, ..Self::default() };
        }
        self.threads
    }

    /// What those had of the time that wanted to work at every look; nothing if there were none.
    fn share(&self) -> Option<f64> {
        let ((begun, first), (ended, last)) = (self.looks.front()?, self.looks.back()?);
        if self.looks.len() < LOOKS {
            return None;
        }
        let all: f64 = ended.saturating_duration_since(*begun).as_secs_f64();
        let wanted =
            (0..last.len()).filter(|at| self.looks.iter().all(|(_, seen)| seen.get(*at).is_some_and(|s| s.wants)));
        let shares: Vec<_> = wanted
            .filter_map(|at| Some(last.get(at)?.worked.saturating_sub(first.get(at)?.worked).as_secs_f64() / all))
            .collect();
        (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at threads that work for so many thousandths of the time, or sleep.
    struct Looks {
        watch: Watch,
        now: Instant,
        worked: Vec<Duration>,
        is_spare_time: bool,
    }

    impl Looks {
        fn at(threads: usize) -> Self {
            Self {
                watch: Watch::default(),
                now: Instant::now(),
                worked: vec![Duration::ZERO; threads],
                is_spare_time: true,
            }
        }

        fn next(&mut self, thousandths: &[Option<u32>]) -> Threads {
            self.now += LOOK;
            let seen = self.worked.iter_mut().zip(thousandths).map(|(worked, part)| {
                *worked += LOOK * part.unwrap_or(0) / 1_000;
                Seen { wants: part.is_some(), worked: *worked }
            });
            self.watch.next(self.now, seen.collect(), self.is_spare_time)
        }
    }

    #[test]
    fn threads_that_want_to_work_and_get_less_than_a_tenth_are_starved() {
        for (share, starved) in [(0, true), (99, true), (101, false), (1_000, false)] {
            let mut looks = Looks::at(2);
            for _ in 1..LOOKS {
                assert_eq!(looks.next(&[Some(share), None]), Threads::Spare);
            }
            assert_eq!(looks.next(&[Some(share), None]) == Threads::Nice, starved, "{share}");
        }
    }

    #[test]
    fn those_that_sleep_from_time_to_time_are_not_and_one_that_works_feeds_the_others() {
        let mut looks = Looks::at(2);
        for number in 0..100 {
            let wants = number % LOOKS != 0;
            assert_eq!(looks.next(&[wants.then_some(0), None]), Threads::Spare);
        }
        for _ in 0..100 {
            assert_eq!(looks.next(&[Some(300), Some(0)]), Threads::Spare);
        }
    }

    #[test]
    fn spare_threads_work_again_once_there_is_spare_time_for_a_while() {
        let mut looks = Looks::at(1);
        while looks.next(&[Some(0)]) == Threads::Spare {}
        for _ in 0..1_000 {
            assert_eq!(looks.next(&[Some(100)]), Threads::Nice);
        }
        for _ in 0..CALM / 2 {
            assert_eq!(looks.next(&[None]), Threads::Nice);
        }
        for _ in 0..LOOKS {
            assert_eq!(looks.next(&[Some(0)]), Threads::Nice);
        }
        // It begins anew.
        for number in 1..CALM {
            assert_eq!(looks.next(&[(number == 2).then_some(1_000)]), Threads::Nice);
        }
        assert_eq!(looks.next(&[None]), Threads::Spare);
    }

    #[test]
    fn those_that_stand_in_and_have_little_to_do_go_on_where_there_is_no_spare_time() {
        let mut looks = Looks::at(1);
        while looks.next(&[Some(0)]) == Threads::Spare {}
        looks.is_spare_time = false;
        for _ in 0..1_000 {
            assert_eq!(looks.next(&[None]), Threads::Nice);
        }
        looks.is_spare_time = true;
        for _ in 1..CALM {
            assert_eq!(looks.next(&[None]), Threads::Nice);
        }
        assert_eq!(looks.next(&[None]), Threads::Spare);
    }

    #[test]
    fn a_probe_is_answered_once_by_threads_that_run() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let probe = Probe::default();
        assert!(probe.is_answered(runtime.handle()), "the first one is asked");
        for _ in 0..3 {
            assert!(!probe.is_answered(runtime.handle()), "nobody has run");
        }
        runtime.block_on(tokio::task::yield_now());
        assert!(probe.is_answered(runtime.handle()) && !probe.is_answered(runtime.handle()));
    }

    #[test]
    fn the_kernel_tells_of_a_thread_that_works_and_of_none_that_is_not() {
        let own = look(rustix::thread::gettid()).unwrap();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(50) {}
        let later = look(rustix::thread::gettid()).unwrap();
        assert!(own.wants && later.wants && later.worked > own.worked);
        let none = look(Pid::from_raw(i32::MAX).unwrap()).unwrap_err();
        assert!(is_lasting(&none) && !is_lasting(&io::Error::other("too many open files")));
    }
}
