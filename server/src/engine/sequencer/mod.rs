//! The write path: one thread per database that owns all writes, of all logs.
//!
//! `pool` gathers, `writer` owns, `admit` decides where each entry goes, `commit` makes it durable and signs it, `check`
//! reads back before the signature, `track` is one log at hand, `release` is
//! what witnesses decide at a start, `run` is the thread.

mod admit;
mod check;
mod commit;
mod job;
mod pool;
mod release;
mod residents;
mod run;
mod track;
mod writer;

pub(super) use check::compare_tiles;
pub use job::CreateError;
pub(super) use job::{AppendJob, CreateJob, Done, Job, MaintainJob};
pub use pool::PoolBounds;
pub(super) use pool::Refused;
pub(super) use run::Sequencer;
pub(super) use writer::{Writer, WriterParts};
