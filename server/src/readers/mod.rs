//! The threads that read much at a time: pages of records, histories, reports, whole bundles. They give way to those that
//! write, and that answer what is quickly answered: where there is too little of the processor for all, theirs is the
//! smaller part. Otherwise a few readers of large answers make everybody's appends wait many times as long.

mod cores;

use std::io;
use std::time::Duration;

use cairn_listen::{give_way, offer_core};
use tokio::runtime::{Builder, Handle, Runtime};

pub(crate) use cores::Cores;

/// How long a thread without work stays.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// The threads on which whole reads are run.
#[derive(Debug)]
pub struct Readers(Runtime);

impl Readers {
    /// So many at most, the first of which is begun here. None ends before all do: where the system allows no further thread,
    /// a read then waits for one that is there, as there always is.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(most: usize) -> io::Result<Self> {
        // Nothing is driven here; it has the threads.
        let mut builder = Builder::new_current_thread();
        builder.max_blocking_threads(most).thread_keep_alive(FOR_EVER).thread_name("readers").on_thread_start(give_way);
        let runtime = builder.build()?;
        // Whatever it does, there is one from here on.
        drop(runtime.spawn_blocking(|| ()));
        Ok(Self(runtime))
    }

    /// Where reads are begun.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        self.0.handle()
    }

    /// Waits until what is being read has ended, at most so long.
    pub fn end(self, patience: Duration) {
        self.0.shutdown_timeout(patience);
    }
}

#[cfg(test)]
mod tests {
    use cairn_listen::spawn_blocking_on;

    use super::*;

    fn niceness() -> i32 {
        rustix::process::getpriority_process(None).unwrap()
    }

    #[test]
    fn what_reads_is_nicer_than_what_writes() {
        let own = niceness();
        let readers = Readers::new(2).unwrap();
        let (sender, read) = std::sync::mpsc::channel();
        drop(spawn_blocking_on(readers.handle(), move || sender.send(niceness()).unwrap()));
        assert_eq!(read.recv().unwrap(), (own + 10).min(19));
        assert_eq!(niceness(), own);
        readers.end(Duration::from_secs(5));
    }
}
