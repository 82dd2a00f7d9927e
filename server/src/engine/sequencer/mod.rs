//! The write path: one thread per database that owns all writes to the store, of all logs, and one behind it that signs
//! and releases what the store has.
//!
//! `pool` gathers, `writer` owns, `admit` decides where each entry goes and `records` what each record is, `commit` makes it durable, `check` reads back
//! before the signature, `change` does the same for a change of a log's keys or its end, `releaser` signs, marks and
//! answers, `release` is what witnesses decide at a start, `track` is one log at hand, `run` has the threads.

mod admit;
mod change;
mod check;
mod commit;
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
pub(super) use job::{AppendJob, ChangeJob, CreateJob, Done, FreezeJob, Job, MaintainJob, RecordJob};
pub use pool::PoolBounds;
pub(super) use pool::Refused;
pub(super) use releaser::{Releaser, ReleaserParts};
pub(super) use run::Sequencer;
pub(super) use writer::{Writer, WriterParts};
