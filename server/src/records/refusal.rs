//! What is wrong with records that somebody brings, as the problem that he is told of. Each names its place.

use cairn_tree::record::json::{Fault, FaultKind};
use cairn_tree::wire::problem::{Problem, ProblemKind};

/// Why records are not taken: the caller's mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(Box<Problem>);

impl Refusal {
    /// A record that can be read and breaks a rule, at a place.
    #[must_use]
    pub fn invalid(pointer: String, detail: impl AsRef<str>) -> Self {
        Self::at(ProblemKind::InvalidRecord, pointer, detail)
    }

    /// A header that says something else than the body.
    #[must_use]
    pub fn contradiction(header: &'static str, pointer: String) -> Self {
        let Self(problem) = Self::at(ProblemKind::Contradiction, pointer, format!("{header} says something else"));
        Self(Box::new(problem.with_field(header)))
    }

    /// A header that says what a producer has not signed, so that it can't be recorded.
    #[must_use]
    pub fn unsigned(header: &'static str, member: &str, pointer: String) -> Self {
        let detail = format!(
            "{header} can't be recorded: the producer has signed a context without {member}, to which nothing can be added; \
             leave the header out, or sign it"
        );
        let Self(problem) = Self::at(ProblemKind::InvalidRecord, pointer, detail);
        Self(Box::new(problem.with_field(header)))
    }

    /// A header that can't be read.
    #[must_use]
    pub fn header(header: &'static str, detail: impl core::fmt::Display) -> Self {
        let problem = Problem::new(ProblemKind::Malformed, format!("{header}: {detail}"));
        Self(Box::new(problem.with_field(header).with_bound(detail.to_string())))
    }

    /// A problem of any kind, at a place in the body.
    #[must_use]
    pub fn at(kind: ProblemKind, pointer: String, detail: impl AsRef<str>) -> Self {
        let detail = detail.as_ref();
        let told = if pointer.is_empty() { detail.to_owned() } else { format!("{pointer}: {detail}") };
        Self(Box::new(Problem::new(kind, told).with_pointer(pointer)))
    }

    /// The same with the value that breaks a bound, and the bound.
    #[must_use]
    pub fn bounded(self, value: &str, bound: impl Into<String>) -> Self {
        let Self(problem) = self;
        Self(Box::new(problem.with_value(value).with_bound(bound)))
    }

    /// The document.
    #[must_use]
    pub fn into_problem(self) -> Problem {
        *self.0
    }
}

/// One bad record refuses its batch; the pointer says which.
impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        let kind = match fault.kind() {
            FaultKind::TextTooLong(_) | FaultKind::TooMany(_) if fault.pointer().is_empty() => ProblemKind::TooLarge,
            kind if kind.is_syntax() => ProblemKind::Malformed,
            _ => ProblemKind::InvalidRecord,
        };
        let bound = fault.kind().to_string();
        let problem = Problem::new(kind, fault.to_string()).with_pointer(fault.pointer().to_owned());
        Self(Box::new(problem.with_bound(bound)))
    }
}
