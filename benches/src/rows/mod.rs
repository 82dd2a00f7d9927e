//! The rows, one file per kind of measurement.

pub(crate) mod engine_batches;
pub(crate) mod engine_records;
pub(crate) mod following;
pub(crate) mod history;
pub(crate) mod http;
pub(crate) mod opening;
pub(crate) mod overload;
pub(crate) mod records;
pub(crate) mod sealed;
pub(crate) mod signer;
pub(crate) mod space;
pub(crate) mod witness;
pub(crate) mod witnessed;
