//! A log that lies: the client must refuse, and keep what is evidence.

mod producing;
mod watching;
