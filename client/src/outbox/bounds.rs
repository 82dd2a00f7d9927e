//! Every bound of the outbox, in one table.

use std::time::Duration;

/// The most records that wait, unless [`super::Options`] says otherwise.
pub const RECORDS: usize = 100_000;
/// The most bytes of records that wait, unless [`super::Options`] says otherwise.
pub const BYTES: u64 = 256 << 20;
/// The length of a segment of the journal, unless [`super::Options`] says otherwise, or one commit is longer.
pub const SEGMENT_BYTES: usize = 4 << 20;
/// The shortest segment: a few commits.
pub const LEAST_SEGMENT_BYTES: usize = 32 << 10;
/// The part of a segment that appends leave for notes of deliveries, so that a full disk can be made emptier.
pub const NOTES_PART: usize = 8;
/// Calls that may wait for the writer; past them, they are refused.
pub const QUEUE: usize = 4_096;
/// The most calls in one commit.
pub const COMMIT_JOBS: usize = 1_024;
/// The most bytes in one commit, apart from its last batch.
pub const COMMIT_BYTES: usize = 1 << 20;
/// How long what was delivered may stay on the disk while the outbox is open, unless [`super::Options`] says otherwise.
pub const SWEEP_AFTER: Duration = Duration::from_secs(60);
/// The least that it may be told.
pub const LEAST_SWEEP_AFTER: Duration = Duration::from_millis(10);
/// The most bytes of waiting batches that are moved to free the disk of what was delivered between them.
pub const SWEEP_BYTES: u64 = 64 << 20;
/// How many segments there may be beyond twice what waits, before what waits is moved.
pub const SPARE_SEGMENTS: usize = 8;
/// The largest file that says what an outbox is.
pub const BINDING_BYTES: usize = 4 << 10;
/// How many characters of a server's answer are kept with what it refused.
pub const ANSWER_CHARS: usize = 400;
/// How many refused batches a status lists; the rest is counted.
pub const LISTED: usize = 1_000;
/// How many of a batch's ids are shown to people; the others are counted.
pub const SHOWN_IDS: usize = 8;
/// How many of the batches that were refused are shown to people.
pub const SHOWN_REFUSALS: usize = 20;

/// The most records of a batch that each get a record of their own when it is dropped.
pub const DROP_RECORDS: usize = 100;
/// The most streams that are told of the drop of a larger batch.
pub const DROP_STREAMS: usize = 1_000;
/// How many ids such a record names; it counts the others.
pub const DROP_IDS: usize = 20;

/// How many batches are on their way at a time, unless [`super::Policy`] says otherwise.
pub const PARALLEL: usize = 8;
/// The most that may be.
pub const MOST_PARALLEL: usize = 256;
/// The wait after the first failed attempt; each further one doubles it.
pub const FIRST_BACKOFF: Duration = Duration::from_millis(500);
/// The longest wait between two attempts, unless [`super::Policy`] says otherwise.
pub const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// The longest wait that a server can ask for.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// Connections to the outbox's socket that are served at a time.
pub const SOCKET_CONNECTIONS: usize = 8;
/// The longest request on it: a batch, as a JSON string.
pub const SOCKET_LINE_BYTES: u64 = 80 << 20;
/// The longest answer on it.
pub const SOCKET_REPLY_BYTES: u64 = 16 << 20;
/// How long one request or answer may take on its way.
pub const SOCKET_TIME: Duration = Duration::from_secs(30);
