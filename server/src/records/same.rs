//! Whether a record that is brought is one that is stored already: a second delivery of it has other salts, and perhaps
//! another time of the server's, but says the same.

use cairn_tree::record::attributes::Attributes;
use cairn_tree::record::class::Classed;
use cairn_tree::record::draft::Content;
use cairn_tree::record::open::{OpenAttributes, OpenValues, Record};
use cairn_tree::record::parts::Context;
use cairn_tree::record::shown::Shown;
use cairn_tree::record::values::Values;

use super::make::{Made, Says};

/// Whether the stored record, of the same id, says what is brought. What was erased of it can't be compared, and counts as
/// something else.
#[must_use]
pub fn is_same(made: &Made<'_>, stored: &Record) -> bool {
    let Says::Plain(content) = &made.says else { return stored.leaf().event().to_text() == made.event };
    let head = stored.leaf().event().head();
    head.replaces == made.replaces
        && made.given_time.is_none_or(|time| time == head.time)
        && head.key.is_none()
        && says_the_same(content, stored)
}

fn says_the_same(brought: &Content<'_>, stored: &Record) -> bool {
    let there = stored.content();
    there.object.disclosed() == Some(&brought.object)
        && there.actor.disclosed() == Some(&brought.actor)
        && there.subjects.disclosed() == Some(&brought.subjects)
        && there.context.disclosed().is_some_and(|there| untraced(there) == untraced(&brought.context))
        && optional(brought.values.as_ref(), &there.values, same_values)
        && optional(brought.attributes.as_ref(), &there.attributes, same_attributes)
}

/// A context without how its request was traced: whoever sends it again sends it in another span.
pub(super) fn untraced<'c>(context: &Option<Context<'c>>) -> Option<Context<'c>> {
    let untraced = context.clone().map(|context| Context { traceparent: None, tracestate: None, ..context });
    untraced.filter(|context| !context.is_empty())
}

fn optional<T, U>(brought: Option<&T>, there: &Shown<Option<U>>, same: impl Fn(&T, &U) -> bool) -> bool {
    match (brought, there.disclosed()) {
        (Some(brought), Some(Some(there))) => same(brought, there),
        (None, Some(None)) => true,
        _ => false,
    }
}

fn same_values(brought: &Values<'_>, there: &OpenValues) -> bool {
    let fields = || brought.fields().iter().zip(there.fields());
    brought.schema() == there.schema()
        && brought.form() == there.form()
        && brought.fields().len() == there.fields().len()
        && fields().all(|((one, field), (other, shown))| one == other && same_content(field, shown))
}

fn same_attributes(brought: &Attributes<'_>, there: &OpenAttributes) -> bool {
    let named = || brought.named().iter().zip(there.named());
    let external = || brought.external().iter().zip(there.external());
    brought.named().len() == there.named().len()
        && brought.external().len() == there.external().len()
        && named().all(|((one, value), (other, shown))| one == other && same_content(value, shown))
        && external().all(|(one, shown)| same_content(one, shown))
}

fn same_content<T: PartialEq<U>, U>(one: &Classed<T>, other: &Classed<Shown<U>>) -> bool {
    one.class == other.class && other.content.disclosed().is_some_and(|content| one.content == *content)
}
