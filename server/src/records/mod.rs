//! Records on their way in: which log has a tenant, what a body and its headers say, and what the server adds. And on their
//! way out: what is verified, what its reader may see, and how it is written down.
//!
//! Nothing here speaks HTTP beyond reading headers, and only [`Own`] writes to a log: producers' records go from here to the
//! engine by `http::v1`. What records are is `cairn_tree::record`.

pub mod capture;
mod chronicle;
mod claimed;
mod decided;
mod derived;
mod draw;
mod earlier;
mod excuse;
mod form;
mod kept;
mod make;
mod own;
mod own_reads;
mod refusal;
mod repeated;
mod report;
mod said;
mod same;
mod scrubbed;
mod secret;
mod secret_file;
mod settings;
mod states;
mod strict;
mod submit;
mod table;
mod tenants;
mod turns;
mod unfound;
mod verify;

pub use chronicle::Chronicle;
pub use claimed::Misplaced;
pub use decided::{Comparison, Comparisons, NotCompared, OF_MODULE, OF_TENANT, SET};
pub use draw::{NoRandomness, Random, SystemRandom};
pub use earlier::Earlier;
pub use excuse::{Ground, verified};
pub use form::{Delivery, Form, Input, Inputs};
pub use make::{Expected, Made, Maker, NotMade, Says};
pub use own::{Own, OwnError, OwnRecord, own_object, own_values};
pub use own_reads::{READ, Read, Shown, TOPIC as READS_TOPIC};
pub use refusal::Refusal;
pub use repeated::repeated;
pub use report::Reporter;
pub use said::Said;
pub use same::is_same;
pub use scrubbed::RecordScrub;
pub use secret::Secret;
pub use secret_file::{FILE_NAME as SECRET_FILE_NAME, SecretFile, SecretFileError};
pub use settings::{FILE_NAME as SETTINGS_FILE_NAME, ModuleSettings, ReadAudit, ReadAuditError, Settings};
pub use settings::{SettingsChange, SettingsError, TenantSettings};
pub use states::{States, Unknowable};
pub use strict::{Judge, Unfit, is_judged};
pub use submit::Submit;
pub use table::TableError;
pub use tenants::{Admission, FILE_NAME as TENANTS_FILE_NAME, Home, Homes, HomesError, Move};
pub use turns::{NoTurn, Turn, Turns};
pub use unfound::{lack, tenant_of};
pub use verify::{Broken, BrokenPart, Excuses, Located, Predecessor, Seen, Unverified, Verified, VerifiedLater};
