//! How threads give way to others.
//!
//! A thread that is nicer than others gets less than they do, where there is too little for all. But the kernel takes it for one
//! that is at work: whoever is woken is not sent to its core as to a free one, and waits where it is. What is only done in spare
//! time (`SCHED_IDLE`, sched(7)) leaves its core free in this sense, and gives way as soon as the kernel looks. It also may get
//! next to nothing.

use std::cell::Cell;
use std::sync::Once;
use std::thread;
use std::time::{Duration, Instant};

use preempt_rt::sched::{Pid, Scheduler, SchedulerParams, set_scheduler};

/// By how much threads that give way are nicer than the others: they get about a tenth of what one of those gets. At the most,
/// 19, they would do nothing while the others have enough to do.
pub(super) const NICER_BY: i32 = 10;
/// How long after one offer of its core a thread makes the next. What it offers it pays for, with the rest of its slice: if it
/// did so after each small piece, it would get nothing while others have enough to do.
const OFFERED: Duration = Duration::from_millis(1);

/// Makes this thread give way to others of the process. On Linux, threads are nice one by one, and begin as nice as the one
/// that started them: so it is counted from the first of the process, which never gives way.
pub fn give_way() {
    let first = rustix::process::getpriority_process(Some(rustix::process::getpid()));
    let given = first.and_then(|nice| rustix::process::setpriority_process(None, nice + NICER_BY));
    if let Err(error) = given {
        tracing::warn!(%error, "a thread can't give way to those that have less to do");
    }
}

/// Has this thread work in spare time only. Whether it will: there is no way back, without a right that services rarely have
/// (`RLIMIT_NICE`).
pub(super) fn spare() -> bool {
    static WARNED: Once = Once::new();
    let set = set_scheduler(Pid::current_thread(), Scheduler::SCHED_IDLE, SchedulerParams { priority: 0 });
    if let Err(error) = &set {
        WARNED.call_once(|| tracing::warn!(%error, "threads for crowds can't be kept to spare time"));
    }
    set.is_ok()
}

/// Lets a thread that was woken have the core, if any waits and it was not offered for a thousandth of a second: nicer or not,
/// the kernel may let whoever works go on for some of them. For threads that give way, between two pieces of work.
pub fn offer_core() {
    thread_local! {
        static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    let now = Instant::now();
    if LAST.get().is_none_or(|last| now.saturating_duration_since(last) >= OFFERED) {
        thread::yield_now();
        LAST.set(Some(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use preempt_rt::sched::get_scheduler;

    use super::*;

    #[test]
    fn a_thread_of_spare_time_is_one_and_those_that_it_starts_are_too() {
        let policy = || get_scheduler(Pid::current_thread()).unwrap();
        let own = policy();
        let (is_spare, policies) =
            thread::spawn(move || (spare(), [policy(), thread::spawn(policy).join().unwrap()])).join().unwrap();
        assert!(is_spare);
        assert_eq!(policies, [Scheduler::SCHED_IDLE; 2]);
        assert_eq!(policy(), own);
    }
}
