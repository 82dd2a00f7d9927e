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

use cairn_tests::lying::{Lie, LyingLog, Model};

/// Has a log show a head of 900 entries that it signed, and serve another tree, of which it shows the first 800.
fn leave_behind(log: &LyingLog) {
    let left = Model::of_size(900).head(900).into_bytes();
    log.change(|model| model.grow(1_000, "other"));
    log.show(Some(800));
    for resource in ["checkpoint", "head"] {
        log.lie(resource, Lie::Body(left.clone()));
    }
}
