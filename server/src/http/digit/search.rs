//! `POST /audit-service/log/v1/_search`: the rows of an object, newest first.

use cairn_listen::Answer;
use cairn_tree::record::header::Header;
use cairn_tree::record::id::RecordId;
use cairn_tree::record::kind::RecordKind;
use cairn_tree::record::open::Record;
use cairn_tree::record::text::Name;
use cairn_tree::size::LeafIndex;
use cairn_tree::wire::header;
use cairn_tree::wire::record::digit::{VERIFICATION_ERROR, parse_search};
use cairn_tree::wire::v1::{IntegrityProblem, WrongPart};
use hyper::body::Incoming;

use super::super::Ask;
use super::super::problem::{Kind, Problem};
use super::super::query::Query;
use super::super::v1::Credential;
use super::super::v1::Reading;
use super::envelope::{Echo, OneError, done, partly, person};
use super::json::{Members, object};
use super::row::Row;
use super::{caller, integrity_hash, read, refused, require, said_tenant};
use crate::auth::Right;
use crate::engine::Log;
use crate::engine::postings::{Facet, Print};
use crate::engine::records::id_print;
use crate::limits::{DIGIT_OFFSET, DIGIT_ROWS, DIGIT_ROWS_MOST, LIST_BYTES, LIST_WORK};
use crate::records::Refusal;

pub(super) const SEARCH_ERROR: &str = "EG_AUDIT_LOGS_SEARCH_ERR";
const NAMES: [&str; 7] = ["objectId", "tenantId", "id", "module", "userUUID", "offset", "limit"];

/// What is looked for.
struct Wanted {
    object: String,
    tenant: String,
    id: Option<String>,
    module: Option<String>,
    user: Option<String>,
    offset: usize,
    limit: usize,
}

/// The rows of an object, as DIGIT's audit service lists them.
#[utoipa::path(
    post, path = "/audit-service/log/v1/_search", tag = "DIGIT", security(("token" = []), ()),
    params(
        ("objectId" = String, Query, description = "The object"),
        ("tenantId" = String, Query, description = "Its tenant"),
        ("id" = Option<String>, Query, description = "A row's id"),
        ("module" = Option<String>, Query, description = "The object's module"),
        ("userUUID" = Option<String>, Query, description = "Who did it"),
        ("offset" = Option<u64>, Query, description = "How many of the newest to pass over"),
        ("limit" = Option<u64>, Query, description = "How many; 10 if absent, at most 30"),
        ("x-tenant-id" = Option<String>, Header, description = "The tenant of all that the request is about"),
    ),
    request_body(content = Object, content_type = "application/json", description = "`RequestInfo`. The token is `Authorization`, else `RequestInfo.authToken`"),
    responses(
        (status = 200, description = "`responseInfo`, and `AuditLogs`: the rows, newest first", body = Object, content_type = "application/json"),
        (status = 400, description = "Every error: `ResponseInfo` and `Errors`. If rows can't be verified, an error for each (`EG_AUDIT_LOG_VERIFICATION_ERR`, its id, its index and the origin of its log in `params`), and the good ones in `AuditLogs`", body = Object, content_type = "application/json"),
    )
)]
pub(crate) async fn search(ask: &Ask<'_>, body: &mut Incoming) -> Result<Answer, Problem> {
    let mut echo = Echo::default();
    let found = ask.recorded(search_rows(ask, body, &mut echo).await).await;
    Ok(found.unwrap_or_else(|problem| refused(&echo, SEARCH_ERROR, &problem)))
}

async fn search_rows(ask: &Ask<'_>, body: &mut Incoming, echo: &mut Echo) -> Result<Answer, Problem> {
    let body = read(ask, body).await?;
    let info = parse_search(&body).map_err(Refusal::from)?;
    *echo = Echo::of(&info);
    let caller = caller(ask, info.auth_token.as_deref());
    require(&caller, Right::Read)?;
    let wanted = Wanted::of(&Query::parse_known(ask.parts.uri.query(), &NAMES)?)?;
    let credential = Credential::of(&caller).ok_or_else(Problem::not_found)?;
    credential.admit(&wanted.tenant)?;
    if said_tenant(ask, &credential)?.is_some_and(|said| said.as_str() != wanted.tenant) {
        let detail = format!("tenantId: the header {} names another", header::X_TENANT_ID);
        return Err(Problem::new(Kind::Contradiction, detail).field("tenantId"));
    }
    let mut logs = ask.app.records.homes.each_of(&ask.app.engine, &wanted.tenant).into_iter();
    let newest = logs.next().ok_or_else(Problem::not_found)?;
    ask.trail(credential.id)?.add(person(&info), []);
    let reading = Reading::of(ask, &credential, newest, Some(&wanted.tenant))?;
    let Rows { rows, unverified, bad, except, .. } = ask.read_large(move || wanted.rows(&reading, logs)).await?;
    let write = |members: &mut Members<'_>| {
        members.array("AuditLogs", rows, |out, (record, hash)| {
            object(out, |members| {
                if let Some(row) = Row::stored(&record, hash) {
                    row.write(members);
                }
            });
        });
        if !except.is_empty() {
            members.array("except", except, |out, (log, index)| {
                object(out, |members| {
                    members.text("log", &log);
                    members.number("index", index.get());
                });
            });
        }
    };
    if bad.is_empty() {
        return Ok(done(|members| {
            members.object("responseInfo", |members| echo.write(members, "successful"));
            write(members);
        }));
    }
    let errors: Vec<OneError> = bad.iter().map(|bad| bad.told(unverified)).collect();
    Ok(partly(echo, &errors, write))
}

/// What was found.
#[derive(Default)]
struct Rows {
    /// Each with its hash.
    rows: Vec<(Record, String)>,
    /// How many of those that match were passed over or found.
    passed: usize,
    /// How many stand among these that can't be verified,
    unverified: u64,
    /// and the first of them.
    bad: Vec<Bad>,
    /// Records that may belong here, and are found by nothing that they say: each with the origin of its log.
    except: Vec<(String, LeafIndex)>,
}

/// A record that can't be verified.
struct Bad {
    /// The origin of its log.
    log: String,
    problem: IntegrityProblem,
    /// As far as its leaf is what was signed.
    id: Option<RecordId>,
}

impl Rows {
    /// Adds a record that can't be verified, as far as so many are told of.
    fn add(&mut self, problem: IntegrityProblem, reading: &Reading) -> Result<(), Problem> {
        if self.bad.len() >= DIGIT_ROWS_MOST {
            return Ok(());
        }
        let leaf = match problem.part {
            WrongPart::Leaf => None,
            WrongPart::Disclosure(..) | WrongPart::Chain => reading.log.entry(&reading.head, problem.index)?,
        };
        let id = leaf.and_then(|leaf| Header::decode(problem.index, &leaf).ok()).map(|header| header.id);
        self.bad.push(Bad { log: reading.log.info().origin.clone(), problem, id });
        Ok(())
    }
}

impl Bad {
    fn told(&self, unverified: u64) -> OneError {
        let Self { log, problem, id } = self;
        let name = id.map_or_else(|| problem.index.to_string(), |id| id.to_string());
        let one = format!("the row {name} can't be verified and is left out");
        let count = if unverified > 1 { format!(", one of {unverified} such rows") } else { String::new() };
        OneError {
            code: VERIFICATION_ERROR,
            message: format!("{one}{count}: {problem}"),
            description: "What is stored is not what was signed. AuditLogs has the other rows; a request for one of them by id, or from a later offset, has no such error.",
            params: vec![name, problem.index.to_string(), log.clone()],
        }
    }
}

impl Wanted {
    fn of(query: &Query<'_>) -> Result<Self, Problem> {
        let text = |name: &'static str| -> Result<Option<String>, Problem> {
            let read = |text: &str| match Name::new(text.to_owned()) {
                Ok(_) => Ok(text.to_owned()),
                Err(error) => Err(Problem::malformed(name, text, error)),
            };
            query.get(name).map(read).transpose()
        };
        let must = |name: &'static str| {
            text(name)?.ok_or_else(|| Problem::malformed(name, "", "this parameter is mandatory").bound("a name"))
        };
        let number = |name: &'static str, otherwise: usize| match query.get(name) {
            None => Ok(otherwise),
            Some(text) => {
                text.parse().map_err(|_| Problem::malformed(name, text, "must be a number").bound("a number"))
            }
        };
        let offset: usize = number("offset", 0)?;
        if offset > DIGIT_OFFSET {
            let detail = "too many rows to pass over; ask for fewer, or page through /v1/records";
            return Err(
                Problem::malformed("offset", offset.to_string(), detail).bound(format!("at most {DIGIT_OFFSET}"))
            );
        }
        Ok(Self {
            object: must("objectId")?,
            tenant: must("tenantId")?,
            id: text("id")?,
            module: text("module")?,
            user: text("userUUID")?,
            offset,
            limit: number("limit", DIGIT_ROWS)?.min(DIGIT_ROWS_MOST),
        })
    }

    /// The rows of a log, then those of the logs before it.
    fn rows(&self, newest: &Reading, earlier: impl Iterator<Item = Log>) -> Result<Rows, Problem> {
        let mut found = Rows::default();
        self.add_rows(newest, &mut found)?;
        for log in earlier {
            if found.rows.len() >= self.limit {
                break;
            }
            self.add_rows(&newest.in_log(log)?, &mut found)?;
        }
        Ok(found)
    }

    fn add_rows(&self, reading: &Reading, found: &mut Rows) -> Result<(), Problem> {
        let print = |facet, value: &str| Print::new(&reading.prints, facet, &[value]);
        let mut prints = vec![print(Facet::Object, &self.object), print(Facet::Tenant, &self.tenant)];
        prints.extend(self.module.as_deref().map(|module| print(Facet::Module, module)));
        prints.extend(self.user.as_deref().map(|user| print(Facet::Actor, user)));
        // So that a row that is bad stands in the way of none that is asked for by its id.
        let id = self.id.as_deref().and_then(|id| id.parse().ok());
        prints.extend(id.map(|id| id_print(&reading.prints, id)));
        let log = &reading.log.info().origin;
        found.except.extend(reading.completeness(&self.tenant)?.except.into_iter().map(|index| (log.clone(), index)));
        let mut below = Some(reading.head.size);
        while let Some(from) = below.filter(|_| found.rows.len() < self.limit) {
            let page = reading.log.find_records(&prints, from, DIGIT_ROWS_MOST, LIST_WORK)?;
            below = page.next;
            let stored = reading.log.stored_records(&reading.head, &page.hits, LIST_BYTES)?;
            if let Some(left) = page.hits.get(stored.len()) {
                below = Some(left.size_with());
            }
            for stored in stored {
                let is_here = found.passed >= self.offset && found.rows.len() < self.limit;
                let verified = match reading.verified(stored, &reading.head) {
                    Ok(Some(verified)) => verified,
                    Ok(None) => continue,
                    Err(error) => {
                        let problem = error.in_place()?;
                        if is_here {
                            found.unverified += 1;
                            found.add(problem, reading)?;
                        }
                        continue;
                    }
                };
                if !self.is_met_by(verified.record()) {
                    continue;
                }
                found.passed += 1;
                if is_here {
                    let record = reading.seen(verified)?.record;
                    let hash = integrity_hash(&reading.log, &reading.head, record.hash())?;
                    found.rows.push((record, hash));
                }
            }
        }
        Ok(())
    }

    fn is_met_by(&self, record: &Record) -> bool {
        let Some(object) = record.content().object.disclosed() else { return false };
        let actor = record.content().actor.disclosed().and_then(Option::as_ref).map(|actor| actor.id().as_str());
        let is =
            |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|wanted| Some(wanted) == found);
        // What the log writes of itself is no row of anybody's.
        RecordKind::of(object) == RecordKind::Ordinary
            && object.id.as_str() == self.object
            && object.tenant.as_str() == self.tenant
            && is(&self.module, Some(object.module.as_str()))
            && is(&self.user, actor)
            && is(&self.id, Some(&record.leaf().event().head().id.to_string()))
    }
}
