//! `cairn replay`: what an object was at some point, computed here from its verified history.

use cairn_tree::checkpoint::Origin;
use cairn_tree::record::server_part::Seq;
use cairn_tree::record::time::Time;
use cairn_tree::size::counted;
use cairn_tree::wire::v1::States;
use clap::Args;
use serde::Serialize;

use super::failure::Failure;
use super::search::{entries, time};
use super::terminal::{Form, Terminal};
use super::trail::{
    Compared, Continues, Ended, FlagLine, Flagged, Legacy, Parts, Point, Session, Sight, StateLine, StreamOptions,
    Summary, TrailOptions, Ways, alone, around,
};
use crate::auditor::trail::{Trail, Whole};

/// Show what an object was at some point: its history is read and verified, as `cairn history` does, and replayed here.
/// The server's own replay is compared with it: where it differs, that is said, and the exit code is 1.
#[derive(Debug, Args)]
pub(super) struct Replay {
    #[command(flatten)]
    trail: TrailOptions,
    #[command(flatten)]
    stream: StreamOptions,
    #[command(flatten)]
    ways: Ways,
    /// The number of a record: it acts, and all before it.
    #[arg(long, value_name = "N", value_parser = seq, conflicts_with = "at")]
    seq: Option<Seq>,
    /// A time, as in RFC 3339: all records up to it act, that moment included. Without it and --seq, all do.
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Time>,
}

fn seq(text: &str) -> Result<Seq, String> {
    let seq = text.parse().ok().and_then(|number| Seq::new(number).ok());
    seq.ok_or_else(|| "must be the number of a record".to_owned())
}

/// What the records give.
struct Computed {
    /// As the server answers it.
    all: States,
    /// The flags in it, each with what it was found with.
    flags: Vec<Flagged>,
    /// Those of the parts before, with their logs.
    before: Vec<(Origin, Flagged)>,
}

#[derive(Serialize)]
struct Claimed {
    stream: String,
    name: String,
    records: u64,
    complete_to: u64,
    /// The last record that the stream had in another log before.
    #[serde(skip_serializing_if = "Option::is_none")]
    continues: Option<Continues>,
    /// Whether the server's own replay was had, and is the same.
    compared: bool,
}

impl Replay {
    pub(super) async fn run(self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let mut session = self.trail.open(form, &mut terminal.output).await?;
        let ended = self.shown(&mut session, form, terminal).await;
        session.end(ended, form, &mut terminal.output).await
    }

    async fn shown(&self, session: &mut Session, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Ended> {
        let name = self.stream.name(&mut session.trail).await?;
        let compare = async |trail: &Trail, (whole, parts): (&Whole, &Parts), states: &Computed| {
            let mut query = self.ways.query();
            query.push(("at", self.point(whole).text()));
            trail.compare_states(&name, (query, parts.base(self.stream.earlier)), &states.all).await
        };
        let asked = (&name, (&self.trail, self.stream.earlier));
        let compute = |whole: &Whole, parts: &Parts| self.states(whole, parts);
        let compared = Compared::of((session, form, &mut terminal.output), asked, compute, compare).await?;
        let (whole, parts, Computed { all, flags, before }) = (&compared.whole, &compared.parts, &compared.computed);
        for state in &all.states {
            terminal.output.print(form, &StateLine::of(state)?)?;
        }
        for (log, flag) in before {
            terminal.output.print(form, &FlagLine::of(flag).in_log(log))?;
        }
        for flag in flags {
            terminal.output.print(form, &FlagLine::of(flag))?;
        }
        let claimed = Claimed {
            stream: whole.stream.to_string(),
            name: name.to_string(),
            records: whole.seen.len() as u64,
            complete_to: whole.complete_to.get(),
            continues: Continues::of(whole, parts.list().last()),
            compared: compared.is_same(),
        };
        let told = if parts.sight() == Sight::Alone { alone(flags.len()) } else { String::new() };
        let replayed = format!("replayed here from {}{}", counted(claimed.records, "record", "records"), parts.words());
        let last = format!("complete up to {} by the server's word{}", entries(claimed.complete_to), compared.words());
        let last = last + &around(whole, parts.list().last()) + &told;
        terminal.output.print(form, &Summary::of("replay", session.trail.ground(), claimed, (replayed, last)))?;
        compared.end()
    }

    fn point(&self, whole: &Whole) -> Point {
        match (self.seq, self.at) {
            (Some(seq), _) => Point::Seq(seq),
            (None, Some(time)) => Point::Time(time),
            // So that the server replays no other records than we have.
            (None, None) => Point::last_of(whole),
        }
    }

    fn states(&self, whole: &Whole, parts: &Parts) -> Result<Computed, Failure> {
        let point = self.point(whole);
        point.check("--seq", whole)?;
        let (view, until) = (self.ways.view, self.ways.until(point));
        let (mut legacy, mut before) = (Legacy::default(), Vec::new());
        for part in parts.list() {
            let base = legacy.clone();
            let flags = legacy.enter(part, view, until);
            let flagged = base.flagged(&flags, &part.whole, view, until.in_earlier_part());
            before.extend(flagged.into_iter().map(|flag| (part.log.clone(), flag)));
        }
        let (ongoing, flags) = legacy.over(whole, view, until);
        let told = match parts.sight() {
            Sight::Alone => Flagged::alone(&flags),
            _ => legacy.flagged(&flags, whole, view, until),
        };
        legacy.last_logs.end(&ongoing);
        let all = States::from(&ongoing.replayed(flags)).with_logs(|object| legacy.last_logs.of(object).cloned());
        Ok(Computed { all, flags: told, before })
    }
}
