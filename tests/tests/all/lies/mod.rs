//! A log that lies: the client must refuse, and keep what is evidence.

mod evidence;
mod monitoring;
mod producing;
mod rotation;
mod watching;
