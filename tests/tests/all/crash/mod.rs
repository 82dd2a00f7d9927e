//! What is left after a crash: everything that was acknowledged, and nothing that contradicts a head that was shown.

mod kill;
mod load;
mod producers;
mod readers;
