//! What `/v1` answers about audit records, for servers to write and for clients to read.
//!
//! Everything that is read here is a server's word until it is verified: [`RecordAnswer::verify`] and [`Page::verify`] start
//! from the bytes of leaves and disclosures, and from a checkpoint that somebody trusts. Reading is total and bounded;
//! members that are not known are ignored, so that answers may gain some. A record that was saved with its proof is a
//! [`RecordAnswer`], to be verified offline.
//!
//! Not here: what comes in ([`super::record`]), and problems ([`super::problem`]).

mod answer;
mod appended;
mod cursor;
mod difference;
mod document;
mod earlier;
mod events;
mod flag;
mod integrity;
mod json;
mod listed;
mod page;
mod point;
mod property;
mod report;
mod state;
mod verify;
mod view;

pub use answer::{Before, RecordAnswer, RecordBody};
pub use appended::{Appended, AppendedAnswer, AppendedReceipt};
pub use cursor::{Cursor, CursorError};
pub use difference::{DifferenceBody, DifferencesAnswer, ObjectDifferences};
pub use document::Document;
pub use earlier::{EarlierPart, MAX_EARLIER};
pub use events::{StreamEventKind, StreamHeadEvent};
pub use flag::FlagBody;
pub use integrity::{Integrity, IntegrityHash, IntegrityHashError};
pub use listed::{IntegrityProblem, Listed, WrongPart};
pub use page::Page;
pub use point::Point;
pub use property::Property;
pub use report::{Dimension, ReportCell, ReportEnd, ReportGroup, ReportRecord, ReportWriter};
pub use state::{StateBody, States, StatesAnswer};
pub use verify::{AnswerError, VerifiedEntry, VerifiedLater, VerifiedRecord, history};
pub use view::{view, view_later};

use crate::record::bounds::{MAX_DISCLOSED_BYTES, MAX_LEAF_BYTES, MAX_VALUE_DEPTH};

/// The most bytes of an answer.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// The most records of a page.
pub const MAX_PAGE: usize = 1_000;
/// The most redaction records that come with an answer.
pub const MAX_REDACTIONS: usize = 4 * 1024;
/// The most records of which a search says that it may have missed them.
pub const MAX_EXCEPT: usize = 256;
/// How deep an answer may nest: a value may, and the pointer to it may have as many tokens, and the answer is around it.
pub(crate) const MAX_ANSWER_DEPTH: usize = 2 * MAX_VALUE_DEPTH + 16;
/// The most objects, the most flags, and the most places in one document that are unknown, of a replay.
pub const MAX_STATES: usize = 64 * 1024;

/// How many bytes of records a server puts into a page at most, but for one record at the least: a page with its redaction
/// records stays within [`MAX_ANSWER_BYTES`].
pub const PAGE_BYTES: usize = 16 * 1024 * 1024;

const _: () = assert!(PAGE_BYTES + 2 * (MAX_DISCLOSED_BYTES + MAX_LEAF_BYTES) < MAX_ANSWER_BYTES);
