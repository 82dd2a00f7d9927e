//! `cairn replay`: what an object was at some point, computed here from its verified history.

use cairn_tree::record::replay::replay;
use cairn_tree::record::server_part::Seq;
use cairn_tree::record::time::Time;
use cairn_tree::size::counted;
use cairn_tree::wire::v1::States;
use clap::Args;
use serde::Serialize;

use super::failure::Failure;
use super::search::{entries, time};
use super::terminal::{Form, Terminal};
use super::trail::{Compared, Ended, FlagLine, Point, Session, StateLine, StreamOptions, Summary, TrailOptions, Ways};
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

#[derive(Serialize)]
struct Claimed {
    stream: String,
    name: String,
    records: u64,
    complete_to: u64,
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
        let compare = async |trail: &Trail, whole: &Whole, states: &States| {
            let mut query = self.ways.query();
            query.push(("at", self.point(whole).text()));
            trail.compare_states(&name, query, states).await
        };
        let compared = Compared::of((session, &terminal.output), &name, |whole| self.states(whole), compare).await?;
        let (whole, states) = (&compared.whole, &compared.computed);
        for state in &states.states {
            terminal.output.print(form, &StateLine::of(state)?)?;
        }
        for flag in &states.flags {
            terminal.output.print(form, &FlagLine::of(flag))?;
        }
        let claimed = Claimed {
            stream: whole.stream.to_string(),
            name: name.to_string(),
            records: whole.seen.len() as u64,
            complete_to: whole.complete_to.get(),
            compared: compared.is_same(),
        };
        let replayed = format!("replayed here from {}", counted(claimed.records, "record", "records"));
        let last = format!("complete up to {} by the server's word{}", entries(claimed.complete_to), compared.words());
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

    fn states(&self, whole: &Whole) -> Result<States, Failure> {
        let point = self.point(whole);
        point.check("--seq", whole)?;
        Ok(States::from(&replay(&whole.history, self.ways.view, self.ways.until(point))))
    }
}
