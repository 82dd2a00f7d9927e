//! A log that lies: the client must refuse, and keep what is evidence.

mod adopting;
mod evidence;
mod gossip;
mod monitoring;
mod parts;
mod producing;
mod recording;
mod records;
mod rotation;
mod spoiled;
mod watching;
mod witnessed;
