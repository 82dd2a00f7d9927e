//! Records on their way in: which log has a tenant, what a body and its headers say, and what the server adds. And on their
//! way out: what is verified, what its reader may see, and how it is written down.
//!
//! Nothing here speaks HTTP beyond reading headers, and nothing writes to a log: `http::v1` takes it from here to the
//! engine. What records are is `cairn_tree::record`.

mod draw;
mod form;
mod make;
mod refusal;
mod report;
mod said;
mod same;
mod secret;
mod secret_file;
mod tenants;
mod verify;

pub use draw::{NoRandomness, Random, SystemRandom};
pub use form::{Form, Input, Inputs};
pub use make::{Expected, Made, Maker, NotMade, Says};
pub use refusal::Refusal;
pub use report::Reporter;
pub use said::Said;
pub use same::is_same;
pub use secret::Secret;
pub use secret_file::{FILE_NAME as SECRET_FILE_NAME, SecretFile, SecretFileError};
pub use tenants::{FILE_NAME as TENANTS_FILE_NAME, Homes, HomesError};
pub use verify::{Broken, BrokenPart, Seen, Unverified, Verified};
