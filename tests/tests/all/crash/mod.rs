//! What is left after a crash: everything that was acknowledged, and nothing that contradicts a head that was shown.

mod copies;
mod damage;
mod kill;
pub(crate) mod load;
pub(crate) mod producers;
mod readers;
