//! The engine's bounds, in one table. What a request may bring is bounded in `limits`, before it comes here.

use std::time::Duration;

/// Most bytes of entries in one commit; a commit takes at least one request, whatever its size.
pub(super) const COMMIT_BYTES: usize = 32 << 20;
/// Bytes of entries from which on a commit is written by a thread of its own, while the writer places the next.
pub(super) const LARGE_COMMIT_BYTES: usize = 1 << 20;
/// More entries than one commit brings to a log: each has a length of two bytes.
pub(super) const COMMIT_ENTRIES: u64 = COMMIT_BYTES as u64 / 2;
/// Most requests in one commit.
pub(super) const COMMIT_REQUESTS: usize = 16_384;
/// The same of those who bring many at once, while others bring little: about a thousandth of a second of work.
pub(super) const MANY_REQUESTS: usize = 256;
/// Most bytes of entries of theirs in such a commit, after the first request's.
pub(super) const MANY_BYTES: usize = 256 << 10;
/// Bytes of a request from which on it is many at once.
pub(super) const LARGE_JOB_BYTES: usize = 64 << 10;
/// Commits under way behind which one is begun that has nothing but their requests: it is written while that is signed.
pub(super) const MANY_BEHIND: usize = 1;
/// For how long others count as bringing little after they did.
pub(super) const FEW_ASKED: Duration = Duration::from_secs(2);
/// Commits that wait to be signed and released while another is; a further one waits in the writer's hands.
pub(super) const RELEASES_WAITING: usize = 1;
/// Most commits that the store may have beyond the newest mark: the one that has just been written, those that wait, and
/// the one that is being released.
pub(super) const UNRELEASED_COMMITS: u64 = RELEASES_WAITING as u64 + 2;
/// Logs whose right edge the writer keeps at hand; the least recently written one makes room.
pub(super) const RESIDENT_LOGS: usize = 2_048;
/// Bytes of an unfinished bundle that the writer keeps per resident log; more is read again from the store.
pub(super) const TAIL_BYTES: usize = 128 << 10;
/// Entries of one log in memory before they become a sorted run of the hash index.
pub(super) const INDEX_RUN_ENTRIES: u64 = 1 << 16;
/// Entries of one log in memory at which appends to it wait until a run is built.
pub(super) const INDEX_LAG_ENTRIES: u64 = 1 << 20;
/// Runs of one size that are merged into one.
pub(super) const INDEX_FAN: usize = 8;
/// Leaves of one log that `fsck` holds while it reads a run of its hash index, a multiple of a tile's: 128 MiB.
pub(super) const INDEX_CHECK_LEAVES: u64 = 1 << 24;
/// Bytes in memory, roughly, of one log's newest postings before they become a sorted run.
pub(super) const POSTING_RUN_BYTES: usize = 32 << 20;
/// Leaves whose postings become a run, however few these are: what a start may have to read again.
pub(super) const POSTING_RUN_LEAVES: u64 = 1 << 18;
/// Such parts in memory at which appends to the log wait until a run is built.
pub(super) const POSTING_LAG_SEGMENTS: usize = 6;
/// Bytes of filters in memory, of all logs' postings together.
pub(super) const POSTING_FILTER_BYTES: usize = 128 << 20;
/// Rows of dead runs of postings that one maintenance commit deletes: they are read to be found.
pub(super) const POSTING_DELETE_ROWS: usize = 512;
/// How often, between two starts, a log's runs are read to see whether they are damaged, and made anew if they are.
pub(super) const POSTING_MENDS: u32 = 3;
/// Groups of leaves that a check of a run keeps sums of.
pub(super) const POSTING_CHECK_GROUPS: u64 = 1 << 16;
/// Records that lack something of which a check of a run knows at a time, about: 8 MiB; of more, it is read in parts.
pub(super) const POSTING_CHECK_PARTIAL: usize = if cfg!(test) { 3 } else { 1 << 20 };
/// Records that lack something which one search looks into, to say up to where searches miss nothing.
pub(super) const UNFOUND_LOOKS: usize = 4_096;
/// Such records that an answer names, which has room for no more; from the first further one on, nothing is claimed.
pub(super) const UNFOUND_LISTED: usize = 256;
/// Blocks of postings that are read, about, to find the newest redaction record there.
pub(super) const UNFOUND_WORK: u64 = 4_096;
/// Bytes of rows that one maintenance commit writes.
pub(super) const MAINTENANCE_BYTES: usize = 4 << 20;
/// Rows that one maintenance commit deletes.
pub(super) const MAINTENANCE_ROWS: usize = 4_096;
/// Idempotency keys that are forgotten per maintenance commit.
pub(super) const SWEEP_ROWS: usize = 1_000;
/// Logs that are looked through for such keys after each commit.
pub(super) const SWEEP_LOGS: usize = 64;
/// Tiles that a start reads to compare roots, of all logs together: 32 MiB. Of further logs the head row is believed until
/// they are used.
pub(super) const OPENING_TILES: usize = 4_096;
/// Expanded tiles in memory, in bytes: those of some three million entries, of which proofs then cost look-ups only.
pub(super) const TILE_CACHE_BYTES: usize = 192 << 20;
/// Tiles as they are served, in bytes.
pub(super) const SERVED_CACHE_BYTES: usize = 32 << 20;
/// Bundles as they are served, in bytes, unfinished ones too: at least three of the longest.
pub(super) const BUNDLE_CACHE_BYTES: usize = 64 << 20;
/// Leaves of one log that the scrubber holds while it reads a run of its hash index, a multiple of a tile's: 8 MiB.
pub(super) const SCRUB_INDEX_LEAVES: u64 = 1 << 20;
/// Bytes of tables that the scrubber reads in one go.
pub(super) const SCRUB_BYTES: u64 = 1 << 20;
/// Rows that a repair reads at a time, of kinds whose rows are small.
pub(super) const MEND_ROWS: usize = 256;
/// Places that a repair lists of one log; past them they are counted.
pub(super) const MEND_PLACES: usize = 4_096;
/// Records of one log whose disclosures a repair takes from a copy because they have changed; of more, none is mended.
pub(super) const MEND_CHANGED: usize = 1 << 20;
/// Bytes of entries that a repair remembers of one log's records that lack disclosures, until it knows which were erased.
pub(super) const MEND_LACKING_BYTES: usize = 64 << 20;
/// Leaves of a run of the hash index that a repair makes anew, at most: as many as a merge of the smallest runs has.
pub(super) const MEND_RUN_ENTRIES: u64 = INDEX_RUN_ENTRIES * INDEX_FAN as u64;
/// Entries that are re-hashed in one go where a range of a log is checked, at start and by `fsck`.
pub(super) const REPLAY_BUNDLES: usize = 64;
/// Bytes of one row of disclosures; a record that has more gets a row of its own.
pub(super) const DISCLOSURE_ROW_BYTES: usize = 16 << 10;
/// Records, of all logs together, whose streams and ids are at hand when further ones are sequenced: 50 MiB, and of a few more
/// twice as much. Tests come to the end of it.
pub(super) const NEWEST_RECORDS: usize = if cfg!(test) { 64 } else { 114_000 };
/// How often a request of records is looked up again because too much was sequenced since.
pub(super) const RECORD_LOOK_UPS: usize = 4;
/// Bytes of a request of records that are prepared without leaving the caller's thread.
pub(super) const PREPARE_INLINE: usize = 64 << 10;
/// Bad places of a log, or of the engine's tables, that `fsck` names.
pub(super) const FSCK_PLACES: usize = 64;
/// Rows that are listed in one go to be deleted.
pub(super) const UNDO_ROWS: usize = 64;
/// Records whose streams and ids `fsck` holds at a time: up to some 400 MiB, if each has a stream of its own.
pub(super) const FSCK_RECORDS: u64 = if cfg!(test) { 100 } else { 1 << 22 };
/// Records that lack disclosures and that `fsck` looks at once more when it knows all redactions.
pub(super) const FSCK_PENDING: usize = 1 << 20;
/// Bytes of a bundle with records from which on it is kept in parts, and of each part: so that one record is read without
/// two hundred others.
pub(super) const BUNDLE_PART_BYTES: usize = 16 << 10;
/// Records that are read together.
pub(super) const AHEAD_RECORDS: usize = 32;
/// Bytes of rows that are read together for them, about: as many rows of the usual length.
pub(super) const AHEAD_BYTES: usize = 512 << 10;
