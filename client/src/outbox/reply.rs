//! The way back from the writer to whoever asked: a thread that waits, or a task.

use std::sync::mpsc;

use tokio::sync::oneshot;

/// Where an answer goes.
pub(super) enum Reply<T> {
    /// To a thread.
    Thread(mpsc::SyncSender<T>),
    /// To a task.
    Task(oneshot::Sender<T>),
}

impl<T> Reply<T> {
    /// For a thread, which waits on the other end.
    pub(super) fn thread() -> (Self, mpsc::Receiver<T>) {
        let (sender, receiver) = mpsc::sync_channel(1);
        (Self::Thread(sender), receiver)
    }

    /// For a task, on any runtime.
    pub(super) fn task() -> (Self, oneshot::Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self::Task(sender), receiver)
    }

    /// Gives the answer. Whoever has gone away needs none.
    pub(super) fn give(self, answer: T) {
        match self {
            Self::Thread(sender) => drop(sender.try_send(answer)),
            Self::Task(sender) => drop(sender.send(answer)),
        }
    }
}
