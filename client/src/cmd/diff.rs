//! `cairn diff`: what changed of an object between two points, computed here from its verified history.

use cairn_tree::record::replay::Until;
use cairn_tree::record::time::Time;
use cairn_tree::size::counted;
use cairn_tree::wire::v1::ObjectDifferences;
use clap::Args;
use serde::Serialize;

use super::failure::Failure;
use super::search::entries;
use super::terminal::{Form, Terminal};
use super::trail::{
    Compared, Continues, DifferenceLine, Ended, Parts, Point, Session, StreamOptions, Summary, TrailOptions, Ways,
    around, point,
};
use crate::auditor::trail::{Trail, Whole};

/// Show what changed of an object between two points: its history is read and verified, as `cairn history` does, replayed
/// here up to both, and compared. The server's own comparison is compared with that: where it differs, that is said, and
/// the exit code is 1.
#[derive(Debug, Args)]
pub(super) struct Diff {
    #[command(flatten)]
    trail: TrailOptions,
    #[command(flatten)]
    stream: StreamOptions,
    #[command(flatten)]
    ways: Ways,
    /// The first point: a record's number, or a time as in RFC 3339. Without it, before the first record.
    #[arg(long, value_name = "N|TIME", value_parser = point)]
    from: Option<Point>,
    /// The second point. Without it, the last record.
    #[arg(long, value_name = "N|TIME", value_parser = point)]
    to: Option<Point>,
}

#[derive(Serialize)]
struct Claimed {
    stream: String,
    name: String,
    records: u64,
    differences: u64,
    /// Whether there are more than are listed.
    more: bool,
    complete_to: u64,
    /// The last record that the stream had in another log before.
    #[serde(skip_serializing_if = "Option::is_none")]
    continues: Option<Continues>,
    /// Whether the server's own comparison was had, and is the same.
    compared: bool,
}

impl Diff {
    pub(super) async fn run(self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let mut session = self.trail.open(form, &mut terminal.output).await?;
        let ended = self.shown(&mut session, form, terminal).await;
        session.end(ended, form, &mut terminal.output).await
    }

    async fn shown(&self, session: &mut Session, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Ended> {
        let name = self.stream.name(&mut session.trail).await?;
        let compare = async |trail: &Trail, (whole, parts): (&Whole, &Parts), objects: &Vec<ObjectDifferences>| {
            let mut query = self.ways.query();
            query.extend(self.from.map(|from| ("from", from.text())));
            query.push(("to", self.to(whole).text()));
            trail.compare_differences(&name, (query, parts.base(self.stream.earlier)), objects).await
        };
        let asked = (&name, (&self.trail, self.stream.earlier));
        let compute = |whole: &Whole, parts: &Parts| self.differences(whole, parts);
        let compared = Compared::of((session, form, &mut terminal.output), asked, compute, compare).await?;
        let (whole, parts, objects) = (&compared.whole, &compared.parts, &compared.computed);
        for object in objects {
            for difference in &object.differences {
                terminal.output.print(form, &DifferenceLine::of(&object.object, difference)?)?;
            }
        }
        let count = objects.iter().map(|object| object.differences.len() as u64).sum();
        let claimed = Claimed {
            stream: whole.stream.to_string(),
            name: name.to_string(),
            records: whole.seen.len() as u64,
            differences: count,
            more: objects.iter().any(|object| object.more),
            complete_to: whole.complete_to.get(),
            continues: Continues::of(whole, parts.list().last()),
            compared: compared.is_same(),
        };
        let (what, records) =
            (counted(count, "difference", "differences"), counted(claimed.records, "record", "records"));
        let more = if claimed.more { ", and more that are not listed," } else { "" };
        let found = format!("{what}{more} computed here from {records}{}", parts.words());
        let last = format!("complete up to {} by the server's word{}", entries(claimed.complete_to), compared.words());
        let last = last + &around(whole, parts.list().last());
        terminal.output.print(form, &Summary::of("diff", session.trail.ground(), claimed, (found, last)))?;
        compared.end()
    }

    fn to(&self, whole: &Whole) -> Point {
        self.to.unwrap_or_else(|| Point::last_of(whole))
    }

    fn differences(&self, whole: &Whole, parts: &Parts) -> Result<Vec<ObjectDifferences>, Failure> {
        let beginning = Time::from_micros(0).map_err(|error| Failure::Refused(error.to_string()))?;
        let to = self.to(whole);
        to.check("--to", whole)?;
        if let Some(from) = self.from {
            from.check("--from", whole)?;
        }
        let from = self.from.map_or(Until::ServerTime(beginning), |from| self.ways.until(from));
        let states = |until| {
            let (ongoing, flags) = parts.legacy(self.ways.view, until).over(whole, self.ways.view, until);
            ongoing.replayed(flags)
        };
        Ok(ObjectDifferences::between(&states(from), &states(self.ways.until(to))))
    }
}
