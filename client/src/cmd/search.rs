//! `cairn search`: audit records by what they say, each verified, the newest first.

use std::path::PathBuf;

use cairn_tree::record::time::Time;
use cairn_tree::size::counted;
use cairn_tree::wire::v1::Property;
use clap::Args;
use serde::Serialize;

use super::failure::Failure;
use super::terminal::{Form, Terminal};
use super::trail::{Ended, ProblemLine, RecordLine, Session, Summary, Told, TrailOptions, one_line, save};
use crate::auditor::trail::{Filter, Found, Met};
use crate::bounds;

/// Look for audit records by what they say, the newest first. Each one is verified before it is printed: that it is in the
/// log, that what is shown of it is its own, that it goes on from the one before it in its stream, and that it is what was
/// asked for.
///
/// That no other record matches is the server's word: an index finds them. Where that matters, ask for the history of the
/// object (cairn history --complete).
#[derive(Debug, Args)]
pub(super) struct Search {
    #[command(flatten)]
    trail: TrailOptions,
    /// Whose records; a token that is good for one tenant needs none.
    #[arg(long, env = "CAIRN_TENANT", value_name = "TENANT")]
    tenant: Option<String>,
    /// The object's module.
    #[arg(long, value_name = "MODULE")]
    module: Option<String>,
    /// The kind of object.
    #[arg(long, value_name = "ENTITY")]
    entity: Option<String>,
    /// The object's id.
    #[arg(long, value_name = "OBJECT")]
    object: Option<String>,
    /// What was done: create, update, delete, read, or a word of one's own.
    #[arg(long, value_name = "WORD")]
    operation: Option<String>,
    /// What was done, in the words of the business.
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// What it counts as.
    #[arg(long, value_name = "CATEGORY")]
    category: Option<String>,
    /// Who did it.
    #[arg(long, value_name = "ACTOR")]
    actor: Option<String>,
    /// A person that the data is about.
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// The correlation id.
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,
    /// The business transaction.
    #[arg(long, value_name = "CODE")]
    transaction: Option<String>,
    /// A topic: finds the first records of the streams that have it.
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// The earliest time of the server, as in RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Time>,
    /// The latest time of the server.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Time>,
    /// How many records at most.
    #[arg(long, value_name = "N", default_value_t = bounds::SEARCH_RECORDS, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// All of them, however many.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Print what each record says of the object's data, too.
    #[arg(long)]
    values: bool,
    /// A folder in which each record is kept with its proof, to be verified offline (cairn verify record).
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
}

pub(super) fn time(text: &str) -> Result<Time, String> {
    Time::parse(text).map_err(|error| error.to_string())
}

#[derive(Serialize)]
struct Claimed {
    records: u64,
    /// How many the server found and could not verify.
    unverified: u64,
    /// Up to which size of the log the server says that these are all.
    complete_to: u64,
    /// Records before that which the server says it may have missed, by their indexes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    except: Vec<u64>,
    /// Whether there are more.
    more: bool,
}

impl Search {
    pub(super) async fn run(self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let filter = self.filter()?;
        let mut session = self.trail.open(form, &mut terminal.output).await?;
        let ended = self.found(&mut session, &filter, form, terminal).await;
        session.end(ended, form, &mut terminal.output).await
    }

    fn filter(&self) -> Result<Filter, Failure> {
        let given = [
            (Property::Tenant, &self.tenant),
            (Property::Module, &self.module),
            (Property::Entity, &self.entity),
            (Property::Object, &self.object),
            (Property::Operation, &self.operation),
            (Property::Action, &self.action),
            (Property::Category, &self.category),
            (Property::Actor, &self.actor),
            (Property::Subject, &self.subject),
            (Property::Correlation, &self.correlation),
            (Property::Transaction, &self.transaction),
            (Property::Topic, &self.topic),
        ];
        let mut filter = Filter::between(self.from, self.until);
        for (property, value) in given {
            // An empty variable in the environment is as good as none.
            let Some(value) = value.as_deref().filter(|value| property != Property::Tenant || !value.is_empty()) else {
                continue;
            };
            let unusable = |error| Failure::Usage(format!("--{}: {error}", property.name()));
            filter = filter.with(property, value).map_err(unusable)?;
        }
        Ok(filter)
    }

    async fn found(
        &self,
        session: &mut Session,
        filter: &Filter,
        form: Form,
        terminal: &mut Terminal<'_>,
    ) -> Result<(), Ended> {
        let most = if self.all { u64::MAX } else { self.limit };
        let output = &mut terminal.output;
        let mut unverified = 0_u64;
        let mut print = |met: &Met| -> Result<(), Ended> {
            match met {
                Met::Record(seen) => {
                    let saved = self.save.as_deref().map(|folder| save(folder, seen)).transpose()?;
                    output
                        .print(form, &RecordLine::of(seen, &[], saved, one_line(&Told::from(&**seen), self.values))?)?;
                }
                Met::Unverified(problem) => {
                    unverified += 1;
                    output.print(form, &ProblemLine::of(problem))?;
                }
            }
            Ok(())
        };
        let found = session.trail.search(filter, most, &mut print).await?;
        let Found { records, complete_to, except, more } = found;
        let except: Vec<u64> = except.iter().map(|index| index.get()).collect();
        let mut last = match (records, more) {
            (_, true) => "there are more (--limit N, or --all)".to_owned(),
            (0, false) => format!("the server says that none matches among the first {}", entries(complete_to.get())),
            (_, false) => {
                format!("the server says that no other matches among the first {}", entries(complete_to.get()))
            }
        };
        if !except.is_empty() {
            let indexes: Vec<String> = except.iter().map(u64::to_string).collect();
            last = format!("{last}, except perhaps {}, which its indexes don't find", indexes.join(", "));
        }
        let missed = except.len() as u64;
        let (records, complete_to) = (records - unverified, complete_to.get());
        let claimed = Claimed { records, unverified, complete_to, except, more };
        let words = (counted(records, "record", "records").to_string(), last);
        terminal.output.print(form, &Summary::of("search", session.trail.ground(), claimed, words))?;
        if unverified == 0 && missed > 0 {
            let records = counted(missed, "record", "records");
            return Err(Failure::Refused(format!("the server says that it may have missed {records}")).into());
        }
        if unverified == 0 {
            return Ok(());
        }
        let records = counted(unverified, "record", "records");
        Err(Failure::Refused(format!("the server can't verify {records} that it found, and does not show it")).into())
    }
}

pub(super) fn entries(count: u64) -> String {
    counted(count, "entry", "entries").to_string()
}
