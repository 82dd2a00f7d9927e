//! Every bound of the witness, in one table.

use std::time::Duration;

/// The most logs, removed ones included: all of them are kept in memory.
pub const LOGS: usize = 65_536;
/// The most keys of one log.
pub const LOG_KEYS: usize = 16;
/// The longest request body. A checkpoint with twenty of the longest signatures has 70 KiB.
pub const REQUEST_BYTES: usize = 128 << 10;
/// Bytes of request bodies in memory at once; past them, requests are answered 503.
pub const BODIES_IN_FLIGHT_BYTES: usize = 64 << 20;
/// Requests that may wait for the writer; past them, they are answered 503.
pub const QUEUE: usize = 4_096;
/// Requests of one log that may wait for the writer, so that no log takes the whole queue.
pub const QUEUE_PER_LOG: usize = 256;
/// The most requests in one commit.
pub const COMMIT_JOBS: usize = 512;
/// The most bytes in one commit, apart from its last record.
pub const COMMIT_BYTES: usize = 1 << 20;
/// How often a request is decided anew because others were faster.
pub const DECISIONS: usize = 4;
/// How far the clock may be behind the last time that was signed for a log. Further behind, nothing is signed for it.
pub const CLOCK_BEHIND_SECONDS: u64 = 60;
/// How often the same trouble is logged at most.
pub const TROUBLE_INTERVAL: Duration = Duration::from_secs(60);
/// How often the base takes note of how far the journal goes, while it grows.
pub const MARK_INTERVAL: Duration = Duration::from_secs(1);
/// Heads of one log that were cosigned and are remembered, to be compared with what peers show.
pub const REMEMBERED_HEADS_PER_LOG: usize = 8;
/// The same of all logs together, about: each log has at least one.
pub const REMEMBERED_HEADS: usize = 131_072;
/// Comparisons with proofs that are under way at a time, for each peer.
pub const COMPARISONS: usize = 8;
/// Tiles that one of them fetches at a time.
pub const PROOF_FETCHES: usize = 4;
/// Evidence files of one log.
pub const EVIDENCE_PER_LOG: usize = 16;
/// Evidence files of all logs together.
pub const EVIDENCE_FILES: usize = 1_024;
/// How long caches may keep a checkpoint.
pub const CHECKPOINT_SECONDS: u64 = 5;
/// When to try again what a bounded queue did not take.
pub const RETRY_AFTER_SECONDS: u64 = 1;
/// Concurrent connections to the admin socket.
pub const ADMIN_CONNECTIONS: usize = 16;
/// The longest line on the admin socket that asks.
pub const ADMIN_LINE_BYTES: u64 = 256 << 10;
/// The longest answer on the admin socket: all logs with all their keys.
pub const ADMIN_REPLY_BYTES: u64 = 1 << 30;
/// How long either side of the admin socket waits for the other.
pub const ADMIN_TIME: Duration = Duration::from_secs(10);
/// The longest key file.
pub const KEY_FILE_BYTES: usize = 8 << 10;
