//! The options that say why somebody asks, and for whom: what is on record beside what was read.

use clap::Args;

use super::failure::Failure;
use crate::fetch::{Said, Saying};

/// Under which these options stand in help texts.
const HEADING: &str = "What goes on record with it";

/// Why, for whom, and in which trace.
#[derive(Debug, Args)]
pub(super) struct WhyOptions {
    /// Why you ask. Where the tenant has its reads recorded, that is on record with what you read; a record that is
    /// brought takes it as its purpose.
    #[arg(long, help_heading = HEADING, env = "CAIRN_PURPOSE", value_name = "TEXT")]
    purpose: Option<String>,
    /// The person for whom you ask, where you are a service that asks for somebody. It is on record likewise, as the one
    /// who reads.
    #[arg(long, help_heading = HEADING, env = "CAIRN_ON_BEHALF_OF", value_name = "PERSON")]
    on_behalf_of: Option<String>,
    /// The trace that this belongs to, by any id; on record as the correlation.
    #[arg(long, help_heading = HEADING, env = "CAIRN_TRACE_ID", value_name = "ID")]
    trace_id: Option<String>,
    /// The trace that this belongs to, in W3C trace context.
    #[arg(long, help_heading = HEADING, env = "TRACEPARENT", value_name = "TRACEPARENT")]
    traceparent: Option<String>,
    /// What goes with --traceparent.
    #[arg(long, help_heading = HEADING, env = "TRACESTATE", value_name = "TRACESTATE")]
    tracestate: Option<String>,
}

impl WhyOptions {
    /// The purpose, which a record without one takes.
    pub(super) fn purpose(&self) -> Option<&str> {
        self.purpose.as_deref().filter(|purpose| !purpose.is_empty())
    }

    /// What requests say of it.
    pub(super) fn said(&self) -> Result<Said, Failure> {
        let given = [
            ("--purpose, or CAIRN_PURPOSE", Saying::Purpose, &self.purpose),
            ("--on-behalf-of, or CAIRN_ON_BEHALF_OF", Saying::Actor, &self.on_behalf_of),
            ("--trace-id, or CAIRN_TRACE_ID", Saying::TraceId, &self.trace_id),
            ("--traceparent, or TRACEPARENT", Saying::TraceParent, &self.traceparent),
            ("--tracestate, or TRACESTATE", Saying::TraceState, &self.tracestate),
        ];
        given.into_iter().try_fold(Said::default(), |said, (given, saying, text)| {
            // An empty variable in the environment is as good as none.
            let Some(text) = text.as_deref().filter(|text| !text.is_empty()) else { return Ok(said) };
            said.with(saying, text).map_err(|error| Failure::Usage(format!("{given}: {error}")))
        })
    }
}
