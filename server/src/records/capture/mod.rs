//! Messages of eGov DIGIT's persister as records: its configuration, the rows that a message becomes, and the quarantine for
//! those that become none.
//!
//! Pure but for reading the configuration's files and keeping the quarantine's. Not here: HTTP (`http::digit`), and the log.

pub mod bounds;
mod captured;
mod columns;
mod credential;
mod map;
mod office;
mod path;
mod persister;
mod quarantine;
mod statement;
mod unmapped;
mod version;
mod yaml;

pub use cairn_tree::wire::record::capture::RowError;
pub use captured::{Captured, ReadMessage, message_digest, unread_text};
pub use columns::{Column, Source};
pub use map::{Mapped, Message};
pub use office::{Capture, CaptureError, Figures};
pub use path::{Path, PathError};
pub use persister::{Options, Persister, PersisterError, Problem};
pub use quarantine::{
    Coming, FOLDER_NAME as QUARANTINE_FOLDER_NAME, Id as QuarantineId, Line, Listed, Note, Quarantine, QuarantineError,
    Room,
};
pub use statement::{Parameter, Statement, StatementError, Verb};
pub use unmapped::{Reason, Unmapped};
pub use version::{Version, VersionError, VersionRange};
