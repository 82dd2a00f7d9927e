//! Every bound of the client in one table: bodies, waits, retries, queues and caches.
//!
//! Not here: the bounds that the formats themselves set (`cairn_tree`), and what a user may set by a flag, of which
//! only the default stands here.

use std::time::Duration;

use cairn_tree::hash::Hash;
use cairn_tree::note::SignedNote;
use cairn_tree::receipt::Receipt;
use cairn_tree::tile::{Entries, Width};

/// The largest signed note that is read.
pub const NOTE_BYTES: usize = SignedNote::MAX_BYTES;
/// The largest receipt that is read from a file.
pub const RECEIPT_BYTES: usize = Receipt::MAX_BYTES;
/// The hashes of a full tile, and the entries of a full bundle (C2SP tlog-tiles, "Merkle Tree").
pub const TILE_WIDTH: u64 = Width::FULL.get() as u64;
/// The largest tile (C2SP tlog-tiles, "Merkle Tree").
pub const TILE_BYTES: usize = Width::FULL.get() * Hash::LEN;
/// The largest entry (C2SP tlog-tiles, "Log entries").
pub const ENTRY_BYTES: usize = Entries::MAX_ENTRY;
/// The largest entry bundle: as many of the largest entries, each after its length.
pub const BUNDLE_BYTES: usize = Width::FULL.get() * (2 + ENTRY_BYTES);
/// The largest JSON answer about one proof; JSON writes a newline as two characters.
pub const PROOF_BYTES: usize = 2 * RECEIPT_BYTES;
/// The largest answer to a batch, of which receipts make up most.
pub const BATCH_ANSWER_BYTES: usize = 64 << 20;
/// The largest answer about a log's keys, and the largest file of one: some thousand changes.
pub const KEYS_BYTES: usize = 16 << 20;
/// How much of an error answer is read; the rest cannot be of interest.
pub const PROBLEM_BYTES: usize = 16 << 10;
/// How many characters of a server's words are shown.
pub const SHOWN_CHARS: usize = 400;

/// The most entries sent in one batch.
pub const BATCH_ENTRIES: usize = 1_000;
/// The most bytes of entries sent in one batch (a batch holds at least one entry, whatever its size).
pub const BATCH_BYTES: usize = 1 << 20;
/// The most files that one `append` takes from its arguments and folders.
pub const APPEND_FILES: usize = 1_000_000;

/// The most files of one folder that is attached to a record, by its listing.
pub const ATTACHED_FILES: usize = 1_000_000;
/// The most that may stand in such a folder and those beneath it: files, folders, links.
pub const ATTACHED_ENTRIES: usize = 2_000_000;
/// The most threads that hash files.
pub const HASHING_THREADS: usize = 8;
/// How many files are given to them at a time.
pub const HASHED_AT_ONCE: usize = 1_024;
/// The longest line of a listing: twice the longest path there is, for its escapes, and the digest.
pub const LISTING_LINE_BYTES: usize = 16 << 10;
/// Bytes of a folder's name in that of its listing: with the digest behind it, at most 255 are left to it.
pub const LISTING_NAME_BYTES: usize = 200;
/// How many links are named that were left out of a data set.
pub const SHOWN_LINKS: usize = 16;
/// How many files are named that differ from what a record says; the others are counted.
pub const NAMED_DIFFERENCES: usize = 10_000;

/// The most records that are asked for in one page.
pub const PAGE_RECORDS: usize = 500;
/// How many records a search prints, unless `--limit` says otherwise.
pub const SEARCH_RECORDS: u64 = 50;
/// How many pages of a search may come in a row without a record: a server looks at so much for each and no more.
pub const EMPTY_PAGES: u32 = 100_000;
/// The most records of a history that is taken in whole, and their bytes.
pub const HISTORY_RECORDS: usize = 200_000;
/// The bytes of leaves and disclosures of such a history.
pub const HISTORY_BYTES: usize = 256 << 20;
/// How many logs a stream is followed back through; what they have of it in all is bounded as a history is.
pub const EARLIER_PARTS: usize = 64;
/// The largest file with what was scanned for a stream.
pub const SCANNED_BYTES: usize = 64 << 10;

/// How long connecting may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one request may take, from its first byte to the answer's last, unless `--timeout` says otherwise.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How often one request is tried in all.
pub const ATTEMPTS: u32 = 5;
/// The wait before the second attempt; each further one doubles it.
pub const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// The longest wait between two attempts, whatever `Retry-After` asks for.
pub const LONGEST_BACKOFF: Duration = Duration::from_secs(20);

/// How many tiles and bundles are fetched at a time, unless `--parallel` says otherwise.
pub const PARALLEL_FETCHES: usize = 16;
/// The most that `--parallel` may ask for: bundles of the largest size must still fit into memory.
pub const MOST_PARALLEL_FETCHES: usize = 64;
/// How many bytes of bundles a monitor that was not told otherwise has on their way at a time, beyond
/// [`PARALLEL_FETCHES`].
pub const READ_AHEAD_BYTES: usize = 64 << 20;
/// How many proven tiles are kept: 8 KiB each.
pub const CACHED_TILES: usize = 1_024;

/// How many statements of one log about its keys a monitor follows by itself.
pub const FOLLOWED_STATEMENTS: usize = 256;
/// How many bytes they may have in all: they are kept with what was verified.
pub const FOLLOWED_BYTES: usize = 512 << 10;
/// How long it may take to have them, and to find them in the log.
pub const FOLLOWING_TIME: Duration = Duration::from_secs(60);

/// How long a watcher waits between two rounds, unless `--interval` says otherwise.
pub const WATCH_INTERVAL: Duration = Duration::from_secs(5);
/// How long a smaller head may be a cache's fault, unless `--stale-after` says otherwise.
pub const STALE_AFTER: Duration = Duration::from_secs(30);
/// How long a watcher waits between fetches past caches while a head is stale.
pub const STALE_INTERVAL: Duration = Duration::from_secs(1);
/// The longest wait between two rounds of a watcher whose log does not answer.
pub const LONGEST_WATCH_BACKOFF: Duration = Duration::from_secs(300);
/// How many heads of one log are kept that it signed and that are not known to be of the tree that was verified; the first
/// ones stay.
pub const UNPLACED_HEADS: usize = 16;
/// How many bytes they have in all, without what others have added to them: one of any length finds room.
pub const UNPLACED_BYTES: usize = NOTE_BYTES;
/// The largest state file that is read.
pub const STATE_BYTES: usize = 4 * NOTE_BYTES;
/// The largest evidence file that is read.
pub const EVIDENCE_BYTES: usize = 64 << 20;

/// How many files of testimony about one log a monitor keeps; the oldest give way.
pub const EVIDENCE_FILES: usize = 256;
/// How many proven forks of one log find room beyond that; further ones take the room of testimony.
pub const FORK_FILES: usize = 64;
/// How many cases of one log wait to be written to a file that can't be written now.
pub const UNWRITTEN: usize = 32;
/// How many lines of what was asked and answered before go with evidence.
pub const TRANSCRIPT_LINES: usize = 16;
/// How far a cosignature's time may lie ahead of a monitor's clock, unless `future_tolerance` says otherwise.
pub const FUTURE_TOLERANCE: Duration = Duration::from_secs(300);
/// For how long a log may not answer before that is an alarm, unless `unreachable_after` says otherwise.
pub const UNREACHABLE_AFTER: Duration = Duration::from_secs(300);
/// For how long a log without the resource `head` may keep from us what it signed for somebody else, unless
/// `withheld_after` says otherwise: its heads wait for their witnesses before they are shown.
pub const WITHHELD_AFTER: Duration = Duration::from_secs(3_600);
/// How many entries a monitor's first round reads; further ones read as many as take about as long as
/// [`ROUND_TIME`] says.
pub const FIRST_ROUND_ENTRIES: u64 = 1 << 14;
/// The fewest and the most entries of one round.
pub const ROUND_ENTRIES: (u64, u64) = (1 << 10, 1 << 20);
/// Rounds that are shorter read more the next time, rounds that are four times as long read less.
pub const ROUND_TIME: Duration = Duration::from_secs(1);

/// The largest configuration file of a monitor.
pub const CONFIG_BYTES: usize = 1 << 20;
/// The most logs that one monitor follows.
pub const MONITORED_LOGS: usize = 1_024;
/// How many logs a monitor looks at at a time, unless `at_once` says otherwise.
pub const LOGS_AT_ONCE: usize = 8;
/// The largest file in which a monitor keeps what it knows of one log.
pub const KEPT_BYTES: usize = 8 * NOTE_BYTES;
/// How many words of its logs' tasks a monitor has not said yet, before they wait.
pub const UNSAID: usize = 1_024;
/// How many notes to people wait for their command or URL; further ones are counted and left out.
pub const UNNOTIFIED: usize = 256;
/// How long the alarm command, or one attempt at the alarm URL, may take, unless `timeout` says otherwise.
pub const NOTIFY_TIME: Duration = Duration::from_secs(30);
/// How long the last words of an alarm command that has ended are waited for.
pub const LAST_WORDS_TIME: Duration = Duration::from_millis(200);
/// How often the alarm URL is tried for one note.
pub const NOTIFY_ATTEMPTS: u32 = 5;
/// The wait before the second attempt; each further one doubles it.
pub const FIRST_NOTIFY_BACKOFF: Duration = Duration::from_millis(500);
/// How much a monitor that ends waits for its last notes to be delivered.
pub const LAST_NOTES_TIME: Duration = Duration::from_secs(45);
/// How many connections a monitor serves.
pub const MONITOR_CONNECTIONS: usize = 1_024;

/// How many peers one process gossips with.
pub const GOSSIP_PEERS: usize = 64;
/// How long it may take to get the proof that a peer's head agrees with ours.
pub const COMPARISON_TIME: Duration = Duration::from_secs(30);
/// How long one pull from a peer may take.
pub const PULL_TIMEOUT: Duration = Duration::from_secs(10);
/// The wait between two pulls from one peer, unless the configuration says otherwise.
pub const GOSSIP_INTERVAL: Duration = Duration::from_secs(10);

/// How long the load generator starts new requests, unless `--duration` says otherwise.
pub const LOAD_DURATION: Duration = Duration::from_secs(10);
/// How many connections the load generator has, unless `--connections` says otherwise.
pub const LOAD_DEFAULT_CONNECTIONS: usize = 64;
/// The bytes of one of the load generator's entries, unless `--size` says otherwise.
pub const LOAD_ENTRY_BYTES: usize = 300;
/// The most connections of the load generator.
pub const LOAD_CONNECTIONS: usize = 10_000;
/// The most entries in one batch of the load generator.
pub const LOAD_BATCH: usize = 100_000;
/// The bytes of random payload that the load generator prepares before it measures.
pub const LOAD_POOL_BYTES: usize = 64 << 20;
/// How long requests under way may still take when the measured time is over.
pub const LOAD_GRACE: Duration = Duration::from_secs(30);
