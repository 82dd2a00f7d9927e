//! Every bound of the service, in one table: what it bounds, its default, and the range a configuration may choose from.
//!
//! The engine's own bounds (commit size, caches) are not here; they do not depend on what a caller sends.

use std::time::Duration;

use cairn_listen::{BodyBounds, Bounds};
use serde::Deserialize;

/// A configured limit outside its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("limits.{name} is {value}; it must be between {min} and {max}")]
pub struct LimitError {
    /// The limit's name in the configuration file.
    pub name: &'static str,
    /// What the file says.
    pub value: u64,
    /// The smallest value that works.
    pub min: u64,
    /// The largest value that works.
    pub max: u64,
}

macro_rules! table {
    ($($(#[doc = $doc:literal])+ $name:ident = $default:literal, $min:literal ..= $max:expr;)+) => {
        /// The bounds in force. Private fields, so that every value in use has passed [`Limits::check`].
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Limits { $($name: u64,)+ }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl Limits {
            /// Checks every value against its range.
            ///
            /// # Errors
            /// [`LimitError`] for the first that is outside.
            pub fn check(&self) -> Result<(), LimitError> {
                $(
                    let (min, max): (u64, u64) = ($min, $max);
                    if !(min..=max).contains(&self.$name) {
                        return Err(LimitError { name: stringify!($name), value: self.$name, min, max });
                    }
                )+
                Ok(())
            }

            /// The table as commented lines of a configuration file.
            #[must_use]
            pub fn commented() -> String {
                let mut text = String::new();
                $(
                    $(text.push_str(concat!("#", $doc, "\n"));)+
                    text.push_str(&format!("# {} = {}\n", stringify!($name), $default));
                )+
                text
            }
        }
    };
}

table! {
    /// Largest entry in bytes. C2SP entry bundles can't hold a larger one.
    entry_bytes = 65_535, 1 ..= 65_535;
    /// Largest request body in bytes.
    body_bytes = 16_777_216, 65_535 ..= 1 << 30;
    /// Most entries in one batch.
    batch_entries = 16_384, 1 ..= 1 << 20;
    /// Bytes of all request bodies in memory at once; past them, appends answer 503. Crowds have three quarters of them.
    bodies_in_flight_bytes = 268_435_456, 1_048_576 ..= 1 << 40;
    /// Bytes of all answers in memory at once, of the pieces of reports, and of what replays keep; past them, reads answer
    /// 503. Answers of at most 16 KiB have as much again.
    answers_in_flight_bytes = 268_435_456, 1_048_576 ..= 1 << 40;
    /// Requests that may wait for the writer; past them, appends answer 503. Crowds have three quarters of them.
    queue_requests = 16_384, 1 ..= 1 << 20;
    /// Bytes of entries that may wait for the writer; past them, appends answer 503. Crowds have three quarters of them.
    queue_bytes = 134_217_728, 1_048_576 ..= 1 << 40;
    /// Open connections; past them, a connection is answered 503.
    connections = 8_192, 1 ..= 1 << 20;
    /// Connections over the limit that are being answered 503; past them, new ones wait in the kernel's queue.
    refused_connections = 256, 1 ..= 1 << 16;
    /// Seconds until a request's header, or a TLS handshake, must be complete.
    header_seconds = 8, 1 ..= 600;
    /// Seconds that a connection may stay open without a request.
    idle_seconds = 75, 1 ..= 86_400;
    /// Seconds for a request's body, besides what its bytes take at body_bytes_per_second.
    body_seconds = 8, 1 ..= 600;
    /// Slowest rate at which a request's body may come in.
    body_bytes_per_second = 65_536, 1 ..= 1 << 40;
    /// Seconds until a reader that takes nothing of its answer is cut off; one who follows has as long for each chunk,
    /// besides what its bytes take at body_bytes_per_second.
    write_stall_seconds = 8, 1 ..= 600;
    /// Seconds that a clean stop waits for requests in flight.
    shutdown_seconds = 30, 1 ..= 3_600;
    /// Bytes of a refused body that are read and dropped, so that its sender gets to read the refusal.
    drain_bytes = 67_108_864, 0 ..= 1 << 40;
    /// Bytes of a request's header; also the largest read buffer of an HTTP/1.1 connection.
    header_bytes = 65_536, 8_192 ..= 1 << 20;
    /// Header fields of a request.
    header_fields = 64, 16 ..= 1_024;
    /// Concurrent streams of one HTTP/2 connection.
    h2_streams = 128, 1 ..= 65_536;
    /// Streams of one HTTP/2 connection that its client may reset before the server saw them through.
    h2_resets = 64, 1 ..= 65_536;
    /// Bytes that one HTTP/2 connection may send ahead of the handlers.
    h2_window_bytes = 1_048_576, 65_535 ..= 1 << 30;
    /// Bytes of entries in one answer to a range of entries.
    range_bytes = 4_194_304, 65_538 ..= 1 << 30;
    /// Entries in one answer to a range of entries.
    range_entries = 16_384, 1 ..= 1 << 20;
    /// Readers who follow logs. One token, or all readers without one, have no more of these places than are left for others.
    event_streams = 2_048, 1 ..= 1 << 20;
    /// Readers who follow streams of records. One token has no more of these places than are left for the others.
    stream_followers = 2_048, 2 ..= 1 << 20;
    /// Bytes of what is made for all readers who follow something, until they have taken it; of these one token, or all
    /// readers without one, have half. Past them, followers wait for their turn.
    follower_bytes = 134_217_728, 67_108_864 ..= 1 << 40;
    /// Reports that are made at once. One token has no more of these places than are left for the others.
    reports = 8, 2 ..= 1_024;
    /// Reads of records that one token has put on record in a second, in the long run; past them, such reads answer 429.
    /// What it follows has as many again, and waits.
    audited_reads_per_second = 50, 1 ..= 1_000_000;
    /// Reads of records that one token has put on record in a row, before it is held to their rate.
    audited_reads_in_a_row = 500, 1 ..= 1_000_000;
    /// Seconds between two heartbeats of an event stream.
    event_heartbeat_seconds = 15, 1 ..= 600;
    /// Reads from disk at once, those of whole bundles aside. Crowds have half as many beside them.
    disk_reads = 64, 1 ..= 4_096;
    /// Reads of whole bundles, pages of records, histories and reports at once, and as many answers to large appends beside
    /// them. While it is read, a bundle of the longest entries takes 32 MiB.
    bundle_reads = 8, 1 ..= 4_096;
    /// Bundles that are compressed at once; past them, bundles go out as they are.
    compressions = 2, 0 ..= 1_024;
    /// Concurrent connections to the admin socket.
    admin_connections = 16, 1 ..= 1_024;
    /// Seconds that records of a module that judges them wait for those before them in their streams; past them, 503.
    judged_wait_seconds = 10, 1 ..= 300;
    /// Seconds that an append with wait=witnessed waits for witnesses, before it is answered 202.
    witnessed_wait_seconds = 10, 1 ..= 300;
    /// Seconds for one exchange with a witness.
    witness_request_seconds = 5, 1 ..= 120;
    /// Seconds until a witness that fails again and again is asked once more.
    witness_backoff_seconds = 60, 1 ..= 3_600;
    /// Milliseconds from the beginning of one round of a log's witnesses to that of the next, at least.
    witness_round_milliseconds = 10, 0 ..= 60_000;
    /// Seconds after which the head of a log at rest is cosigned anew, so that its age stays bounded.
    witness_recosign_seconds = 600, 1 ..= 86_400;
    /// Seconds after which a log that fails open publishes a head without its quorum.
    witness_fail_open_seconds = 30, 1 ..= 86_400;
    /// Requests to witnesses at once, of all logs together.
    witness_requests = 256, 1 ..= 65_536;
    /// Seconds that an idempotency key is kept.
    idempotency_seconds = 86_400, 60 ..= 31_536_000;
    /// Free bytes on the database's disk below which appends answer 507.
    disk_reserve_bytes = 268_435_456, 0 ..= 1 << 50;
    /// Most messages of DIGIT's persister in quarantine; past them, what can't be mapped is refused. One credential may fill half.
    quarantine_messages = 10_000, 1 ..= 1 << 20;
    /// Bytes of all messages in quarantine; of these, one credential may fill half.
    quarantine_bytes = 268_435_456, 1_048_576 ..= 1 << 40;
    /// Bytes per second that the scrubber reads, which verifies in the background what is stored; 0: it does not run.
    scrub_bytes_per_second = 16_777_216, 0 ..= 1 << 40;
    /// Seconds that the scrubber rests between two passes over everything.
    scrub_rest_seconds = 3_600, 1 ..= 31_536_000;
}

/// Largest answer that does not count among the large ones: a proof, a head, a tile.
pub const SMALL_ANSWER_BYTES: usize = 16_384;
/// Longest idempotency key in bytes; a longer one has no use, and the header is kept small.
pub const IDEMPOTENCY_KEY_BYTES: usize = 255;
/// Longest request id that is taken over from a caller.
pub const REQUEST_ID_BYTES: usize = 128;
/// Longest request target that is looked at; the longest that has a meaning is far shorter.
pub const TARGET_BYTES: usize = 2_048;
/// Bytes of entries in one chunk of an event stream.
pub const EVENT_CHUNK_BYTES: usize = 65_536;
/// Most entries in one chunk of an event stream.
pub const EVENT_CHUNK_ENTRIES: u64 = 1_024;
/// Bytes that are set aside for a chunk with entries before it is made: one of the longest entry, or of the most short ones.
pub const EVENT_ENTRIES_ROOM: usize = 4 * EVENT_CHUNK_BYTES;
/// Bytes that are set aside for a chunk with records before it is made: one of the largest record takes about as many.
pub const EVENT_RECORDS_ROOM: usize = 16 << 20;
/// Most records in one chunk of an event stream.
pub const EVENT_CHUNK_RECORDS: usize = 64;
/// Longest line on the admin socket; a policy file of the longest kind fits.
pub const ADMIN_LINE_BYTES: usize = 2 << 20;
/// Longest answer of a witness: cosignatures, or a checkpoint with them.
pub const WITNESS_ANSWER_BYTES: usize = 65_536;
/// Most failed checks of records that are kept apart; past them no further ones are reported.
pub const REPORTED_INCIDENTS: usize = 10_000;
/// Most redaction records that are read to excuse what is absent of one record.
pub const REDACTIONS_OF_RECORD: usize = 4_096;
/// Records of a page, unless a request says how many.
pub const LIST_RECORDS: usize = 50;
/// Most records of a page.
pub const LIST_RECORDS_MOST: usize = 500;
/// Bytes of leaves and disclosures in one page.
pub const LIST_BYTES: usize = 4 << 20;
/// Blocks of an index that are read for one page, about; a rare combination of frequent names takes several pages.
pub const LIST_WORK: u64 = 4_096;
/// How long a chunk of what is followed may wait to be put on record because its token has too many.
pub const FOLLOWED_READ_WAIT: Duration = Duration::from_secs(60);
/// Most tenants in whose logs a read of nobody's record in particular is put on record.
pub const AUDITED_TENANTS: usize = 16;
/// Records that are looked at for a report at a time.
pub const REPORT_PAGE_RECORDS: usize = 512;
/// Groups of a report that are in memory: of all of it, or of one day where it goes by day.
pub const REPORT_GROUPS: usize = 10_000;
/// Most records of a stream that is replayed in one answer.
pub const REPLAY_RECORDS: usize = 10_000;
/// Bytes of leaves and disclosures of a stream that is replayed in one answer.
pub const REPLAY_BYTES: usize = 64 << 20;
/// What a replay takes of the memory for answers at a time, as what it keeps grows.
pub const REPLAY_PART_BYTES: usize = 64 << 10;
/// Bytes of the newest states of streams that are kept, of all logs together.
pub const STATE_CACHE_BYTES: usize = 64 << 20;
/// Bytes of the states of one stream whose records are judged against them.
pub const STATE_STREAM_BYTES: usize = 16 << 20;
/// Records of a stream that are read for one request before its state is known; the next request goes on from there.
pub const STATE_RECORDS: usize = 10_000;
/// How often a request is judged anew because others, who are not judged, wrote to its streams meanwhile.
pub const JUDGE_ROUNDS: usize = 32;
/// Requests that wait for their turn at one stream whose records are judged; past them, 503.
pub const JUDGE_WAITING: usize = 1_024;
/// Bytes of a request to DIGIT's routes: a hundred rows of the largest kind.
pub const DIGIT_BODY_BYTES: usize = 32 << 20;
/// Bytes of a message that is captured: four of the largest that Kafka takes unless it is told otherwise. A longer one is
/// quarantined unread.
pub const CAPTURE_BODY_BYTES: usize = 4 << 20;
/// Rows of an answer of DIGIT's search, unless a request says how many.
pub const DIGIT_ROWS: usize = 10;
/// Most rows of an answer of DIGIT's search; a larger number is taken for this one.
pub const DIGIT_ROWS_MOST: usize = 30;
/// Most rows that DIGIT's search passes over: each is verified first.
pub const DIGIT_OFFSET: usize = 10_000;
/// Most streams of an object that DIGIT's verification replays.
pub const DIGIT_STREAMS: usize = 64;
/// How far a producer's clock may go before the server's.
pub const RECORD_FUTURE: Duration = Duration::from_secs(300);
/// Longest selector of tenants of a token.
pub const TENANT_SELECTOR_BYTES: usize = 1_024;
/// Most tenants that have logs of their own.
pub const TENANTS: usize = 10_000;
/// Most modules, of all tenants, for which something is decided.
pub const SETTINGS_MODULES: usize = 10_000;
/// Most tokens in the token file.
pub const TOKENS: usize = 10_000;
/// Longest value that a problem document repeats, in bytes; the rest is cut.
pub const ECHO_BYTES: usize = 128;

macro_rules! getters {
    ($($name:ident: $kind:ty),+ $(,)?) => {
        $(
            #[doc = concat!("The limit `", stringify!($name), "`.")]
            #[must_use]
            pub fn $name(&self) -> $kind {
                // Every range above fits in the type on 64-bit machines; a smaller machine takes its largest number.
                <$kind>::try_from(self.$name).unwrap_or(<$kind>::MAX)
            }
        )+
    };
}

macro_rules! durations {
    ($($getter:ident: $name:ident),+ $(,)?) => {
        $(
            #[doc = concat!("The limit `", stringify!($name), "`.")]
            #[must_use]
            pub const fn $getter(&self) -> Duration {
                Duration::from_secs(self.$name)
            }
        )+
    };
}

impl Limits {
    getters! {
        entry_bytes: usize, body_bytes: usize, batch_entries: usize, bodies_in_flight_bytes: usize,
        answers_in_flight_bytes: usize, queue_requests: usize, queue_bytes: usize, connections: usize, refused_connections: usize,
        body_bytes_per_second: u64, drain_bytes: u64, header_bytes: usize, header_fields: usize,
        h2_streams: u32, h2_resets: usize, h2_window_bytes: u32, range_bytes: usize, range_entries: u64,
        event_streams: usize, stream_followers: usize, follower_bytes: usize, reports: usize, audited_reads_per_second: u32, audited_reads_in_a_row: u32, disk_reads: usize, bundle_reads: usize, compressions: usize, admin_connections: usize,
        disk_reserve_bytes: u64, witness_requests: usize, quarantine_messages: u64,
        quarantine_bytes: u64, scrub_bytes_per_second: u64,
    }

    durations! {
        header_time: header_seconds, idle_time: idle_seconds, body_time: body_seconds,
        write_stall_time: write_stall_seconds, shutdown_time: shutdown_seconds,
        event_heartbeat: event_heartbeat_seconds, idempotency_time: idempotency_seconds,
        judged_wait: judged_wait_seconds, witnessed_wait: witnessed_wait_seconds, witness_request_time: witness_request_seconds,
        witness_backoff: witness_backoff_seconds, witness_recosign: witness_recosign_seconds,
        witness_fail_open: witness_fail_open_seconds, scrub_rest: scrub_rest_seconds,
    }

    /// The limit `witness_round_milliseconds`.
    #[must_use]
    pub const fn witness_round(&self) -> Duration {
        Duration::from_millis(self.witness_round_milliseconds)
    }

    /// What the accept loop needs of these.
    #[must_use]
    pub fn listening(&self) -> Bounds {
        Bounds {
            connections: self.connections(),
            refused_connections: self.refused_connections(),
            header_time: self.header_time(),
            idle_time: self.idle_time(),
            write_stall_time: self.write_stall_time(),
            shutdown_time: self.shutdown_time(),
            body: self.bodies(),
            header_bytes: self.header_bytes(),
            header_fields: self.header_fields(),
            h2_streams: self.h2_streams(),
            h2_resets: self.h2_resets(),
            h2_window_bytes: self.h2_window_bytes(),
        }
    }

    /// What reading a body needs of these.
    #[must_use]
    pub fn bodies(&self) -> BodyBounds {
        let (bytes_per_second, drain_bytes) = (self.body_bytes_per_second(), self.drain_bytes());
        BodyBounds { time: self.body_time(), bytes_per_second, drain_bytes, ..BodyBounds::default() }
    }

    /// Reads of the disk at once for those who ask for much at once, beside those of all others.
    #[must_use]
    pub fn crowd_reads(&self) -> usize {
        self.disk_reads().div_ceil(2)
    }

    /// Lowers the connection limit to what the process may open.
    pub fn cap_connections(&mut self, most: u64) {
        self.connections = self.connections.min(most.max(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_range_and_the_commented_table_reads_back() {
        let defaults = Limits::default();
        assert_eq!(defaults.check(), Ok(()));
        let bare: String = Limits::commented()
            .lines()
            .filter_map(|line| line.strip_prefix("# "))
            .filter(|line| line.contains(" = "))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(toml::from_str::<Limits>(&bare).unwrap(), defaults);
        assert_eq!(defaults.listening(), Bounds::default(), "two defaults of one bound");
    }

    #[test]
    fn a_limit_outside_its_range_is_named_with_its_bounds() {
        let limits: Limits = toml::from_str("entry_bytes = 65536").unwrap();
        let error = limits.check().unwrap_err();
        assert_eq!(error.to_string(), "limits.entry_bytes is 65536; it must be between 1 and 65535");
        assert!(toml::from_str::<Limits>("entry_byte = 1").unwrap_err().to_string().contains("entry_byte"));
    }
}
