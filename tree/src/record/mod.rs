//! Audit records: their leaf, their disclosures, and what follows from a stream of them (`docs/record.md`).
//!
//! Pure: salts, times and ids come in by parameter. Read in this order: [`parts`], [`values`] and [`attributes`] are what a
//! record says; [`draft`] turns it into disclosures and an [`event`]; [`leaf`] is what a log stores; [`open`] verifies the
//! disclosures against it and is the only way to a [`open::Record`].
//!
//! Not here: HTTP and its forms of input ([`crate::wire::record`]), who may see what, and where anything is stored.

pub mod attributes;
mod base64url;
pub mod bounds;
pub mod chain;
pub mod class;
mod cursor;
pub mod digest;
pub mod disclosure;
pub mod draft;
pub mod event;
pub mod header;
pub mod history;
pub mod id;
pub mod json;
pub mod kind;
pub mod later;
pub mod leaf;
mod name_list;
pub mod open;
mod packed;
pub mod parts;
pub mod replay;
pub mod reserved;
pub mod server_part;
pub mod shown;
pub mod signature;
pub mod stream;
pub mod text;
pub mod time;
pub mod value;
pub mod values;
