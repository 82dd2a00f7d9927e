//! What the witnesses of logs do, as it is read off their reports when somebody scrapes.

use std::collections::BTreeSet;
use std::fmt;

use cairn_tree::store::LogId;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;

use super::Seen;
use super::figure::{Labels, MICROSECONDS, labelled_counter};
use crate::cosigners::{LogReport, WitnessReport, failure_kinds};
use crate::engine::Log;

/// One log.
struct Line {
    log: Log,
    report: LogReport,
}

/// Writes everything about those of the logs that have a policy, or lack it.
pub(super) fn encode(seen: &Seen, now_ms: u64, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let shown: BTreeSet<LogId> = seen.logs.iter().map(|log| log.info().id).collect();
    let reports = seen.cosigners.reports().into_iter().filter(|(log, _)| shown.contains(&log.info().id));
    let lines: Vec<Line> = reports.map(|(log, report)| Line { log, report }).collect();
    let flag = |set: bool| if set { 1.0 } else { 0.0 };
    let help = "Entries that a log's checkpoint covers.";
    per_log(encoder, &lines, ("log_checkpoint_size", help), |line| Some(line.log.checkpoint()?.size.get() as f64))?;
    let help = "Seconds since a log's checkpoint was published or cosigned anew.";
    per_log(encoder, &lines, ("log_checkpoint_age_seconds", help), |line| {
        Some(now_ms.saturating_sub(line.log.checkpoint()?.time_ms) as f64 / 1000.0)
    })?;
    let help = "1 if a log's checkpoint meets its witness policy.";
    per_log(encoder, &lines, ("log_quorum_met", help), |line| Some(flag(line.report.met)))?;
    let help = "1 if a log publishes heads without the quorum when it is late.";
    per_log(encoder, &lines, ("log_fail_open", help), |line| Some(flag(line.report.fail_open)))?;
    let help =
        "1 if a log's appends wait for its witnesses to agree, after a start, that it goes on, or for its policy.";
    per_log(encoder, &lines, ("log_held", help), |line| Some(flag(line.log.is_held())))?;
    let help = "1 if a repair lost a log's witness policy: it is held until the operator says which one holds.";
    per_log(encoder, &lines, ("log_policy_lost", help), |line| Some(flag(line.log.lacks_policy())))?;
    let help = "The size that a witness confirmed last, as far as is known since the start.";
    per_witness(encoder, &lines, ("witness_confirmed_size", help), |_, witness| confirmed(witness) as f64)?;
    let help = "Entries of a log's newest head that a witness has not confirmed.";
    per_witness(encoder, &lines, ("witness_lag", help), |line, witness| {
        line.log.head().size.get().saturating_sub(confirmed(witness)) as f64
    })?;
    let help = "1 if the last exchange with a witness failed.";
    per_witness(encoder, &lines, ("witness_failing", help), |_, witness| flag(witness.error.is_some()))?;
    let help = "Exchanges with a witness that failed, and cosignatures that did not verify, by kind.";
    let mut metric = encoder.encode_descriptor("witness_failures", help, None, MetricType::Counter)?;
    for (line, witness) in pairs(&lines) {
        for (kind, count) in failure_kinds().iter().zip(witness.failures).filter(|(_, count)| *count > 0) {
            let labels: Labels<'_, 3> = [("log", &line.log.info().name), ("witness", &witness.name), ("kind", kind)];
            labelled_counter(&mut metric, &labels, count)?;
        }
    }
    let help = "Seconds of a round of witnesses, from its beginning to the quorum.";
    let mut metric = encoder.encode_descriptor("witness_round_seconds", help, None, MetricType::Histogram)?;
    seen.cosigners.rounds().encode(&mut metric, MICROSECONDS)
}

fn confirmed(witness: &WitnessReport) -> u64 {
    witness.confirmed.map_or(0, |size| size.get())
}

fn pairs(lines: &[Line]) -> impl Iterator<Item = (&Line, &WitnessReport)> {
    lines.iter().flat_map(|line| line.report.witnesses.iter().map(move |witness| (line, witness)))
}

fn per_log(
    encoder: &mut DescriptorEncoder<'_>,
    lines: &[Line],
    (name, help): (&str, &str),
    value: impl Fn(&Line) -> Option<f64>,
) -> fmt::Result {
    let mut metric: MetricEncoder<'_> = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    lines.iter().filter_map(|line| Some((line, value(line)?))).try_for_each(|(line, value)| {
        let labels: Labels<'_, 1> = [("log", &line.log.info().name)];
        metric.encode_family(&labels)?.encode_gauge(&value)
    })
}

fn per_witness(
    encoder: &mut DescriptorEncoder<'_>,
    lines: &[Line],
    (name, help): (&str, &str),
    value: impl Fn(&Line, &WitnessReport) -> f64,
) -> fmt::Result {
    let mut metric: MetricEncoder<'_> = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    pairs(lines).try_for_each(|(line, witness)| {
        let labels: Labels<'_, 2> = [("log", &line.log.info().name), ("witness", &witness.name)];
        metric.encode_family(&labels)?.encode_gauge(&value(line, witness))
    })
}
