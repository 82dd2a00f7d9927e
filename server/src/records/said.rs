//! What the headers of a request say about its records: the tenant, the purpose, the trace.
//!
//! What a record does not say itself is taken from them and recorded; a record that says something else contradicts them,
//! and is refused. A signed event can't be added to: what it does not say itself would be lost, and is refused too.
//!
//! | header | of the record |
//! |---|---|
//! | `X-Tenant-Id` | the tenant of its object, which it must be |
//! | `X-Purpose` | the purpose of its context |
//! | `traceparent`, `tracestate` | the same of its context; another span of the same trace is no contradiction |
//! | `X-Trace-Id` | the correlation of its context, unless its trace context has this trace id |

use cairn_tree::record::draft::Content;
use cairn_tree::record::open::Opened;
use cairn_tree::record::parts::Context;
use cairn_tree::record::text::{Name, Prose, TextError, TraceParent, TraceState};
use cairn_tree::wire::header;
use http::HeaderMap;

use super::refusal::Refusal;

/// What the headers say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    tenant: Option<Name<'static>>,
    purpose: Option<Prose<'static>>,
    trace_id: Option<Name<'static>>,
    traceparent: Option<TraceParent<'static>>,
    tracestate: Option<TraceState<'static>>,
}

impl Said {
    /// Reads the headers.
    ///
    /// # Errors
    /// [`Refusal`] for what can't be recorded.
    pub fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let traceparent = one(headers, header::TRACEPARENT, TraceParent::new)?;
        Ok(Self {
            tenant: Self::tenant_of(headers)?,
            purpose: one(headers, header::X_PURPOSE, Prose::new)?,
            trace_id: one(headers, header::X_TRACE_ID, Name::new)?,
            // It goes with the header before and means nothing without it (W3C trace context, section 3.3.1).
            tracestate: match traceparent {
                Some(_) => one(headers, header::TRACESTATE, TraceState::new)?,
                None => None,
            },
            traceparent,
        })
    }

    /// Reads which tenant the request is about, and no other header: where those say nothing, what is wrong with them is
    /// nobody's business.
    ///
    /// # Errors
    /// [`Refusal`] for what can't be the name of a tenant.
    pub fn tenant_of(headers: &HeaderMap) -> Result<Option<Name<'static>>, Refusal> {
        one(headers, header::X_TENANT_ID, Name::new)
    }

    /// Only which tenant the request is about.
    #[must_use]
    pub fn of_tenant(tenant: Option<Name<'static>>) -> Self {
        Self { tenant, ..Self::default() }
    }

    /// The tenant that the request is about.
    #[must_use]
    pub const fn tenant(&self) -> Option<&Name<'static>> {
        self.tenant.as_ref()
    }

    /// Who asks, as the request says: the person behind the token of a service.
    ///
    /// # Errors
    /// [`Refusal`] for what can't be recorded.
    pub fn actor(headers: &HeaderMap) -> Result<Option<Name<'static>>, Refusal> {
        one(headers, header::X_ACTOR, Name::new)
    }

    /// The context of a record that says nothing else.
    #[must_use]
    pub fn context(&self) -> Context<'static> {
        let traceparent = self.traceparent.clone();
        let context = Context { purpose: self.purpose.clone(), traceparent, ..Context::default() };
        let correlation = self.trace_id.clone().filter(|trace_id| !has_trace(&context, trace_id));
        Context { correlation, tracestate: self.tracestate.clone(), ..context }
    }

    /// Adds to a record what it does not say itself. `place` is where the record stands in the body.
    ///
    /// # Errors
    /// [`Refusal`] if the record says something else.
    pub fn complete<'a>(&self, content: &mut Content<'a>, place: &str) -> Result<(), Refusal> {
        self.check_tenant(&content.object.tenant, place)?;
        let mut context = content.context.take().unwrap_or_default();
        let contradicts = |header, name: &str| Err(Refusal::contradiction(header, format!("{place}/context{name}")));
        if !agree(&self.purpose, &mut context.purpose, |one, other| one == other) {
            return contradicts(header::X_PURPOSE, "/purpose");
        }
        let own_trace = context.traceparent.is_some();
        if !agree(&self.traceparent, &mut context.traceparent, |one, other| one.trace_id() == other.trace_id()) {
            return contradicts(header::TRACEPARENT, "/traceparent");
        }
        if !own_trace && context.tracestate.is_none() {
            context.tracestate.clone_from(&self.tracestate);
        }
        if let Some(trace_id) = &self.trace_id
            && !has_trace(&context, trace_id)
            && !agree(&self.trace_id, &mut context.correlation, |one, other| one == other)
        {
            return contradicts(header::X_TRACE_ID, "/correlation");
        }
        content.context = Some(context).filter(|context| !context.is_empty());
        Ok(())
    }

    /// Checks that a signed event says the same: nothing can be added to it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check(&self, opened: &Opened, place: &str) -> Result<(), Refusal> {
        if let Some(object) = opened.object.disclosed() {
            self.check_tenant(&object.tenant, place)?;
        }
        let context = opened.context.disclosed().cloned().flatten().unwrap_or_default();
        let at = format!("{place}/event/context");
        let purposes = (self.purpose.as_ref(), context.purpose.as_ref());
        signed(purposes, |one, other| one == other, (header::X_PURPOSE, "purpose"), &at)?;
        let traces = (self.traceparent.as_ref(), context.traceparent.as_ref());
        let is_one = |one: &TraceParent<'_>, other: &TraceParent<'_>| one.trace_id() == other.trace_id();
        signed(traces, is_one, (header::TRACEPARENT, "traceparent"), &at)?;
        let trace_id = self.trace_id.as_ref().filter(|trace_id| !has_trace(&context, trace_id));
        let correlations = (trace_id, context.correlation.as_ref());
        signed(correlations, |one, other| one == other, (header::X_TRACE_ID, "correlation"), &at)
    }

    fn check_tenant(&self, tenant: &Name<'_>, place: &str) -> Result<(), Refusal> {
        match &self.tenant {
            Some(said) if said.as_str() != tenant.as_str() => {
                Err(Refusal::contradiction(header::X_TENANT_ID, format!("{place}/object/tenant")))
            }
            _ => Ok(()),
        }
    }

    /// All of it as bytes, for what a request as a whole is bound to.
    #[must_use]
    pub fn parts(&self) -> [&[u8]; 4] {
        let tenant = self.tenant.as_ref().map_or("", Name::as_str);
        let purpose = self.purpose.as_ref().map_or("", Prose::as_str);
        let trace_id = self.trace_id.as_ref().map_or("", Name::as_str);
        // Of the trace only what stays the same when the request is sent again.
        let trace = self.traceparent.as_ref().map_or("", TraceParent::trace_id);
        [tenant, purpose, trace_id, trace].map(str::as_bytes)
    }
}

fn has_trace(context: &Context<'_>, trace_id: &Name<'_>) -> bool {
    context.traceparent.as_ref().is_some_and(|trace| trace.trace_id().eq_ignore_ascii_case(trace_id.as_str()))
}

/// Takes what is said, unless something is there already, which must be the same then.
fn agree<'a, T: Clone + 'a>(said: &Option<T>, own: &mut Option<T>, same: impl Fn(&T, &T) -> bool) -> bool {
    match (said, &*own) {
        (Some(said), Some(own)) => same(said, own),
        (Some(said), None) => {
            *own = Some(said.clone());
            true
        }
        (None, _) => true,
    }
}

/// Checks what a header says of a signed event, whose context is at a place.
fn signed<T: ?Sized, U: ?Sized>(
    (said, own): (Option<&T>, Option<&U>),
    same: impl Fn(&T, &U) -> bool,
    (header, member): (&'static str, &str),
    at: &str,
) -> Result<(), Refusal> {
    match (said, own) {
        (None, _) => Ok(()),
        (Some(said), Some(own)) if same(said, own) => Ok(()),
        (Some(_), Some(_)) => Err(Refusal::contradiction(header, at.to_owned())),
        (Some(_), None) => Err(Refusal::unsigned(header, member, at.to_owned())),
    }
}

/// A header that may be there once, or several times with the same value.
fn one<T>(
    headers: &HeaderMap,
    name: &'static str,
    new: impl FnOnce(String) -> Result<T, TextError>,
) -> Result<Option<T>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.any(|other| other != value) {
        return Err(Refusal::header(name, "two different values"));
    }
    let text = core::str::from_utf8(value.as_bytes()).map_err(|_| Refusal::header(name, "must be UTF-8"))?;
    new(text.to_owned()).map(Some).map_err(|error| Refusal::header(name, error))
}
