//! `POST /audit-service/log/v1/_verify`: whether an object, or one row of it, is now what somebody says that it is.

use std::collections::BTreeSet;
use std::sync::Arc;

use cairn_listen::Answer;
use cairn_tree::record::class::Class;
use cairn_tree::record::json::Json;
use cairn_tree::record::replay::Node;
use cairn_tree::record::stream::StreamName;
use cairn_tree::record::text::Name;
use cairn_tree::wire::record::digit::{VERIFICATION_ERROR, parse_verify};
use hyper::body::Incoming;

use super::super::problem::{Kind, Problem};
use super::super::v1::{Asked, Credential, Reading, newest};
use super::super::{App, Ask};
use super::envelope::{Echo, done, person};
use super::{caller, read, refused, require, said_tenant};
use crate::auth::{Right, TokenId};
use crate::engine::postings::{Facet, Print};
use crate::limits::{DIGIT_STREAMS, LIST_BYTES, LIST_WORK, REPLAY_RECORDS};
use crate::records::Refusal;

/// Whether a row is as it is said to be, as DIGIT's audit service tells.
#[utoipa::path(
    post, path = "/audit-service/log/v1/_verify", tag = "DIGIT", security(("token" = []), ()),
    params(
        ("x-tenant-id" = Option<String>, Header, description = "The tenant of all that the request is about"),
    ),
    request_body(content = Object, content_type = "application/json", description = "`objectId`, `keyValuePairs`, `requestInfo`. The token is `Authorization`, else `requestInfo.authToken`"),
    responses(
        (status = 200, description = "It is the newest state of one row: a bare ResponseInfo", body = Object, content_type = "application/json"),
        (status = 400, description = "It is not, or any other error: `ResponseInfo` and `Errors`", body = Object, content_type = "application/json"),
    )
)]
pub(crate) async fn verify(ask: &Ask<'_>, body: &mut Incoming) -> Result<Answer, Problem> {
    let mut echo = Echo::default();
    let verified = verify_row(ask, body, &mut echo).await;
    let verified = verified.map(|()| done(|members| echo.write(members, "successful")));
    let verified = ask.recorded(verified).await;
    Ok(verified.unwrap_or_else(|problem| refused(&echo, VERIFICATION_ERROR, &problem)))
}

async fn verify_row(ask: &Ask<'_>, body: &mut Incoming, echo: &mut Echo) -> Result<(), Problem> {
    let body = read(ask, body).await?;
    let input = parse_verify(&body).map_err(Refusal::from)?;
    *echo = Echo::of(&input.request_info);
    let caller = caller(ask, input.request_info.auth_token.as_deref());
    require(&caller, Right::Read)?;
    let credential = Credential::of(&caller).ok_or_else(Problem::not_found)?;
    let tenant = said_tenant(ask, &credential)?;
    let terms = [
        ("objectId", Class::Restricted, Json::string(input.object_id.as_str())),
        ("keyValuePairs", Class::Secret, input.key_values.clone().into_owned()),
    ];
    let trail = ask.trail(credential.id)?;
    trail.add(person(&input.request_info), terms);
    let (object, said) = (input.object_id.as_str().to_owned(), Node::from(input.key_values.value()));
    let mut readings = Vec::new();
    let (engine, homes) = (&ask.app.engine, &ask.app.records.homes);
    let logs = match &tenant {
        Some(tenant) => homes.each_of(engine, tenant.as_str()),
        None => homes.each_of_any(engine, credential.tenants),
    };
    let asked = tenant.as_ref().map(Name::as_str).or(credential.tenants.sole());
    for log in logs {
        readings.push(Reading::of(ask, &credential, log, asked)?);
    }
    let (mut known, object, said) = (Streams::new(), Arc::<str>::from(object), Arc::new(said));
    for reading in readings {
        let (of, object_too, tenant) = (reading.clone(), Arc::clone(&object), tenant.clone());
        let found = move || streams(&of, &object_too, tenant.as_ref().map(Name::as_str));
        for name in ask.read_large(found).await? {
            if known.insert(name.clone())
                && has_state(ask.app, credential.id, &reading, (name, Arc::clone(&object), Arc::clone(&said))).await?
            {
                return Ok(());
            }
        }
    }
    trail.note_nothing();
    Err(Problem::new(Kind::NotFound, "no row of this object is in this state"))
}

/// Whether the newest state of a row in a stream is this one; its parts in all of the tenant's logs are one history.
async fn has_state(
    app: &Arc<App>,
    token: TokenId,
    reading: &Reading,
    (name, object, said): (StreamName<'static>, Arc<str>, Arc<Node>),
) -> Result<bool, Problem> {
    let (of, in_app) = (reading.clone(), Arc::clone(app));
    let parts = app.read(move || parts(&in_app, &of, &name)).await?;
    let Some(newest) = newest(app, token, parts).await? else { return Ok(false) };
    let compare = move || {
        let mut of_object = newest.states.iter().filter(|(key, _)| key.id.as_str() == &*object);
        Ok::<_, Problem>(
            of_object.any(|(_, state)| state.data.as_ref().is_some_and(|data| data.same(&said) == Some(true))),
        )
    };
    app.read_bundles(compare).await
}

/// The parts of a stream in the tenant's logs, the oldest first.
fn parts(app: &App, reading: &Reading, name: &StreamName<'static>) -> Result<Vec<Asked>, Problem> {
    let mut parts = Vec::new();
    for log in app.records.homes.each_of(&app.engine, name.tenant().as_str()).into_iter().rev() {
        let part = Asked::of_name(reading.in_log(log)?, name.clone());
        if part.is_there()? {
            parts.push(part);
        }
    }
    Ok(parts)
}

type Streams = BTreeSet<StreamName<'static>>;

/// The streams that records about an object are in: those of one tenant, if it is said which.
fn streams(reading: &Reading, object: &str, tenant: Option<&str>) -> Result<Streams, Problem> {
    let print = Print::new(&reading.prints, Facet::Object, &[object]);
    let (mut names, mut seen, mut below) = (BTreeSet::new(), 0, Some(reading.head.size));
    while let Some(from) = below.filter(|_| names.len() < DIGIT_STREAMS && seen < REPLAY_RECORDS) {
        let page = reading.log.find_records(&[print], from, DIGIT_STREAMS, LIST_WORK)?;
        below = page.next;
        let stored = reading.log.stored_records(&reading.head, &page.hits, LIST_BYTES)?;
        if let Some(left) = page.hits.get(stored.len()) {
            below = Some(left.size_with());
        }
        for stored in stored {
            seen += 1;
            let Some(verified) = reading.verified(stored, &reading.head)? else { continue };
            let about = verified.record().content().object.disclosed().is_some_and(|other| {
                other.id.as_str() == object && tenant.is_none_or(|tenant| other.tenant.as_str() == tenant)
            });
            if about {
                // Each bears on the answer, though the replay may end with another tenant's.
                reading.looks_at(&verified);
                names.extend(verified.stream());
            }
        }
    }
    Ok(names)
}
