//! Getting a log's resources over HTTP, unverified.
//!
//! Every answer is bounded in bytes, time and attempts. Nothing that comes from here is to be believed: what a log
//! serves becomes knowledge only in [`crate::auditor`].

mod answers;
mod error;
mod http;
mod records;
mod remote;
mod said;
mod url;
mod words;

pub use answers::{IdempotencyKey, Taken, Wanted};
pub use error::{FetchError, Problem};
pub use http::{Freshness, Settings, Token, TokenError};
pub use records::{Query, Records, TakenRecords, can_be_asked};
pub use remote::{HeadKind, Remote};
pub use said::{Said, SaidError, Saying};
pub use url::{LogName, LogUrl, LogUrlError};
pub use words::shown;
