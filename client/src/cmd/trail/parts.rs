//! The parts of a stream before the one that was asked for, each read in its own log and joined with the next; and which
//! flags come of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use cairn_tree::checkpoint::Origin;
use cairn_tree::record::replay::{Flag, LastLogs, Ongoing, Until, View, replay, replay_over};
use cairn_tree::record::server_part::Seq;
use cairn_tree::record::stream::StreamName;
use cairn_tree::size::counted;
use cairn_tree::wire::v1::FlagBody;
use serde::Serialize;

use super::super::failure::Failure;
use super::super::terminal::{Form, Output};
use super::{Ended, Session, TrailOptions};
use crate::auditor::trail::{Base, Beginning, Ending, JoinError, TrailError, Whole};
use crate::bounds;
use crate::fetch::shown;

/// A part of a stream, with the session that it was read in, in its own log.
pub(in crate::cmd) struct Part {
    pub(in crate::cmd) session: Session,
    pub(in crate::cmd) whole: Whole,
    pub(in crate::cmd) log: Origin,
    /// How it is known that it ends where the next one says.
    pub(in crate::cmd) ending: Ending,
}

/// The parts of a stream before one, the oldest first; none if they were not asked for.
#[derive(Default)]
pub(in crate::cmd) struct Parts {
    list: Vec<Part>,
    /// Whether there are others, which were not read, or may be.
    are_unread: bool,
}

/// With what of a stream a flag was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cmd) enum Sight {
    /// With all there is before it.
    All,
    /// With its own part alone, though there is one before it, or may be.
    Alone,
    /// With all there is, and it would not be there without the parts before its own.
    Earlier,
}

/// A flag, and with what it was found.
#[derive(Debug, Clone)]
pub(in crate::cmd) struct Flagged {
    pub(in crate::cmd) body: FlagBody,
    pub(in crate::cmd) sight: Sight,
}

/// The states that one part after another leaves to the next.
#[derive(Clone, Default)]
pub(in crate::cmd) struct Legacy {
    base: Option<Arc<Ongoing>>,
    /// The log of each object's last record, where that is not the last part's.
    pub(in crate::cmd) last_logs: LastLogs,
}

/// What a history says of the part before it, for programs.
#[derive(Serialize)]
pub(in crate::cmd) struct Continues {
    log: String,
    stream: String,
    /// The number of the last record there.
    seq: u64,
    leaf_hash: String,
    /// Where that is in its log, if that part was read and verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    /// Then also how it is known that that part ends there: `said`, `sealed` or `claimed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    ending: Option<&'static str>,
}

/// Where a part says that it goes on, for programs.
#[derive(Serialize)]
pub(in crate::cmd) struct GoesOn {
    log: String,
    stream: String,
}

impl Parts {
    /// Reads the parts before one, if that is asked for, and joins each with the next.
    pub(in crate::cmd) async fn before(
        (options, wanted): (&TrailOptions, bool),
        (whole, name): (&Whole, &StreamName<'_>),
        form: Form,
        output: &mut Output<'_>,
    ) -> Result<Self, Ended> {
        if !wanted {
            return Ok(Self { list: Vec::new(), are_unread: whole.beginning() != Beginning::Here });
        }
        let own = whole.seen.first().map(|first| first.header().log);
        let mut list: Vec<Part> = Vec::new();
        loop {
            let (next, log) = match list.last() {
                Some(part) => (&part.whole, Some(&part.log)),
                None => (whole, own.as_ref()),
            };
            let named = match next.beginning() {
                Beginning::Here => break,
                Beginning::After(named) => named.log.clone(),
                Beginning::Unseen => {
                    let unseen = log.cloned().map(JoinError::Unseen);
                    return Err(unseen.map_or_else(nothing, |error| Ended::Trail(error.into())));
                }
            };
            if own.as_ref() == Some(&named) || list.iter().any(|part| part.log == named) {
                return Err(Ended::Trail(JoinError::Circle(named).into()));
            }
            if list.len() == bounds::EARLIER_PARTS {
                return Err(Ended::Trail(JoinError::TooMany.into()));
            }
            let part = Part::read(options, (named, next, name), form, output).await?;
            list.push(part);
            // Each is bounded; so is what they are together.
            let records: usize = list.iter().map(|part| part.whole.seen.len()).sum();
            if records + whole.seen.len() > bounds::HISTORY_RECORDS {
                return Err(TrailError::TooLong.into());
            }
        }
        list.reverse();
        Ok(Self { list, are_unread: false })
    }

    pub(in crate::cmd) fn list(&self) -> &[Part] {
        &self.list
    }

    pub(in crate::cmd) fn list_mut(&mut self) -> &mut [Part] {
        &mut self.list
    }

    /// The part right before one, by its number among these.
    pub(in crate::cmd) fn part_before(&self, number: usize) -> Option<&Part> {
        number.checked_sub(1).and_then(|before| self.list.get(before))
    }

    /// What they leave to the last part, up to a point that is meant there.
    pub(in crate::cmd) fn legacy(&self, view: View, until: Until) -> Legacy {
        let mut legacy = Legacy::default();
        for part in &self.list {
            legacy.enter(part, view, until);
        }
        legacy
    }

    /// The same for people: in how many logs.
    pub(in crate::cmd) fn words(&self) -> String {
        let logs = self.list.len() as u64;
        if logs == 0 {
            return String::new();
        }
        let records = counted(self.records() as u64, "record", "records");
        format!(", after {records} in {}", counted(logs, "earlier log", "earlier logs"))
    }

    /// With what the server's own answer is to begin, if it is to be compared: with these, if they were asked for.
    pub(in crate::cmd) fn base(&self, wanted: bool) -> Base {
        if !wanted {
            return Base::Nothing;
        }
        Base::Earlier(self.list.iter().rev().filter_map(|part| part.whole.head()).collect())
    }

    /// With what flags of the last part are found.
    pub(in crate::cmd) const fn sight(&self) -> Sight {
        if self.are_unread { Sight::Alone } else { Sight::All }
    }

    /// How many records they have.
    pub(in crate::cmd) fn records(&self) -> usize {
        self.list.iter().map(|part| part.whole.seen.len()).sum()
    }
}

fn nothing() -> Ended {
    Ended::Trail(TrailError::Empty("a part of a stream"))
}

impl Part {
    /// Reads the part in a log that the next one goes on from.
    async fn read(
        options: &TrailOptions,
        (log, next, name): (Origin, &Whole, &StreamName<'_>),
        form: Form,
        output: &mut Output<'_>,
    ) -> Result<Self, Failure> {
        let told = |failure: Failure| match failure {
            Failure::Refused(words) => Failure::Refused(format!("the part in {}: {words}", shown(log.as_str()))),
            failure => failure,
        };
        let mut session = options.open_earlier(&log, form, output).await.map_err(told)?;
        let read = async {
            let progress = output.counter("records");
            let whole = session.trail.history(name, &mut |records| progress.set_position(records)).await;
            progress.finish_and_clear();
            let whole = whole?;
            whole.check()?;
            let ending = session.trail.ending(&whole, next).await?;
            Ok((whole, ending))
        };
        match read.await {
            Ok((whole, ending)) => Ok(Self { session, whole, log, ending }),
            Err(error) => Err(told(session.failure(Ended::Trail(error), form, output).await)),
        }
    }
}

impl Flagged {
    /// Those of a part that has another one before it, which was not read.
    pub(in crate::cmd) fn alone(flags: &[Flag]) -> Vec<Self> {
        flags.iter().map(|flag| Self { body: FlagBody::from(flag), sight: Sight::Alone }).collect()
    }
}

impl Legacy {
    /// Replays a part upon those before it, up to the point that is meant in the last one. Says what was odd.
    pub(in crate::cmd) fn enter(&mut self, part: &Part, view: View, until: Until) -> Vec<Flag> {
        let (ongoing, flags) = self.over(&part.whole, view, until.in_earlier_part());
        self.last_logs.enter(&ongoing, &part.log);
        self.base = Some(Arc::new(ongoing));
        flags
    }

    /// The states of a part, upon those before it, and what was odd.
    pub(in crate::cmd) fn over(&self, whole: &Whole, view: View, until: Until) -> (Ongoing, Vec<Flag>) {
        replay_over(self.base.clone(), &whole.history, view, until)
    }

    /// The flags of a part, each with what it was found with.
    pub(in crate::cmd) fn flagged(&self, flags: &[Flag], whole: &Whole, view: View, until: Until) -> Vec<Flagged> {
        let bodies = |flags: &[Flag]| flags.iter().map(FlagBody::from).collect::<Vec<_>>();
        // Those that the part has without any before it.
        let own = self.base.as_ref().map(|_| bodies(&replay(&whole.history, view, until).flags));
        let own: Option<BTreeSet<_>> = own.as_ref().map(|own| own.iter().map(which).collect());
        let sight = |flag: &FlagBody| match &own {
            Some(own) if !own.contains(&which(flag)) => Sight::Earlier,
            _ => Sight::All,
        };
        bodies(flags).into_iter().map(|body| Flagged { sight: sight(&body), body }).collect()
    }
}

/// What tells a flag from others.
fn which(flag: &FlagBody) -> (Seq, &str, &[String]) {
    (flag.seq, &flag.flag, &flag.pointers)
}

impl Continues {
    /// What a part's first record says, and what is known of the part before it, if that was read.
    pub(in crate::cmd) fn of(whole: &Whole, before: Option<&Part>) -> Option<Self> {
        let Beginning::After(head) = whole.beginning() else { return None };
        Some(Self {
            log: head.log.to_string(),
            stream: head.stream.to_string(),
            seq: head.seq.get(),
            leaf_hash: head.leaf.to_base64(),
            index: before.and_then(|part| part.whole.last_index()).map(|index| index.get()),
            ending: before.map(|part| match part.ending {
                Ending::Said => "said",
                Ending::Sealed => "sealed",
                Ending::Claimed => "claimed",
            }),
        })
    }
}

impl GoesOn {
    pub(in crate::cmd) fn of(whole: &Whole) -> Option<Self> {
        let (log, stream) = whole.goes_on()?;
        Some(Self { log: log.to_string(), stream: stream.to_string() })
    }
}

/// Where the records before these are, and after them.
pub(in crate::cmd) fn around(whole: &Whole, before: Option<&Part>) -> String {
    let before = match (whole.beginning(), before) {
        (Beginning::Here, _) => String::new(),
        (Beginning::Unseen, _) => "; whether it goes on from another log is not shown".to_owned(),
        (Beginning::After(head), None) => format!(
            "; by its own word it goes on from record {} of the stream {} in {}, with the leaf hash {}: --earlier reads that \
             part too, and verifies that it ends so",
            head.seq,
            head.stream,
            shown(head.log.as_str()),
            head.leaf.to_base64()
        ),
        (Beginning::After(head), Some(part)) => {
            let index = part.whole.last_index().map(|index| format!(", entry {index}")).unwrap_or_default();
            let ending = match part.ending {
                Ending::Said => "which ends with that and says the same",
                Ending::Sealed => "which ends with that and is in a log that is sealed",
                Ending::Claimed => "which has nothing after that by the server's word",
            };
            let log = shown(head.log.as_str());
            format!("; it goes on from record {}{index}, of the part in {log}, {ending}", head.seq)
        }
    };
    let after = whole.goes_on().map(|(log, _)| format!("; it goes on in {}", shown(log.as_str()))).unwrap_or_default();
    before + &after
}

/// What is said of the flags of a part that begins with nothing, though there is one before it.
pub(in crate::cmd) fn alone(flags: usize) -> String {
    if flags == 0 {
        return String::new();
    }
    let flags = counted(flags as u64, "thing that does not fit is", "things that do not fit are");
    format!("; {flags} told of this part alone, as if nothing had been before it (--earlier)")
}
