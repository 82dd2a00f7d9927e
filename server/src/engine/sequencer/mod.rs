//! The write path: one thread per database that decides about all writes to the store, of all logs, one that writes large
//! commits beside it, and one behind both that checks, signs and releases what the store has.
//!
//! `pool` gathers, `writer` owns, `admit` decides where each entry goes and `records` what each record is, `commit` puts it
//! into rows, `beside` writes them where they are many, `change` does all of it for a change of a log's keys or its end.
//! `handover` is the way to the second stage: `check` reads back before the signature, `releaser` signs and marks, `answer`
//! tells. `release` is what others than the store decide about a log, `track` is one log at hand, `run` has the threads.

mod admit;
mod answer;
mod beside;
mod change;
mod check;
mod commit;
mod handover;
mod job;
mod pool;
mod records;
mod release;
mod releaser;
mod residents;
mod run;
mod track;
mod writer;

pub(super) use check::compare_tiles;
pub use job::CreateError;
pub(super) use job::{
    AppendJob, ChangeJob, CreateJob, DecideJob, Decides, Done, FreezeJob, Job, MaintainJob, RecordJob,
};
pub use pool::PoolBounds;
pub(super) use pool::Refused;
pub(super) use releaser::{Releaser, ReleaserParts};
pub(super) use run::Sequencer;
pub(super) use writer::{Writer, WriterParts};
