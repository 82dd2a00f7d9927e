//! What bounds persister configurations and the messages that they are used on.

/// Most files of a configuration.
pub const FILES: usize = 256;
/// Longest file.
pub const FILE_BYTES: u64 = 1 << 20;
/// Most mappings of all files.
pub const MAPPINGS: usize = 4_096;
/// Most queries of a mapping.
pub const QUERIES: usize = 256;
/// Most columns of a query.
pub const COLUMNS: usize = 512;
/// Longest query.
pub const QUERY_BYTES: usize = 16_384;
/// Longest path.
pub const PATH_BYTES: usize = 512;
/// Most steps of a path.
pub const PATH_SEGMENTS: usize = 32;
/// Longest name of a topic, a table, a module or a column.
pub const NAME_BYTES: usize = 256;
/// Most problems of a configuration that are told at once.
pub const PROBLEMS: usize = 20;
/// Most rows of a message.
pub const ROWS: usize = 10_000;
/// Bytes of the values of all rows of a message.
pub const ROW_BYTES: usize = 16 << 20;
/// How many values of a message are looked at, counted as often as they are.
pub const WORK: u64 = 4_000_000;
