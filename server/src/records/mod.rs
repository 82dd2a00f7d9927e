//! Records on their way in: which log has a tenant, what a body and its headers say, and what the server adds.
//!
//! Nothing here speaks HTTP beyond reading headers, and nothing writes to a log: `http::v1` takes it from here to the
//! engine. What records are is `cairn_tree::record`.

mod draw;
mod form;
mod make;
mod refusal;
mod said;
mod secret;
mod secret_file;
mod tenants;

pub use draw::{NoRandomness, Random, SystemRandom};
pub use form::{Form, Input, Inputs};
pub use make::{Expected, Made, Maker, NotMade, Says};
pub use refusal::Refusal;
pub use said::Said;
pub use secret::Secret;
pub use secret_file::{FILE_NAME as SECRET_FILE_NAME, SecretFile, SecretFileError};
pub use tenants::{home, homes};
