//! Records that come twice within one request: the same event under the same id. They are one record, and answered as one.
//!
//! Signed events are left out: they are the same bytes, which whoever places them sees. Not here: what came before (`same`).

use std::collections::{BTreeMap, HashMap};

use cairn_tree::record::draft::Content;
use cairn_tree::record::id::RecordId;
use cairn_tree::wire::record::RecordInput;

use super::form::{Input, Inputs};
use super::said::Said;
use super::same::untraced;
use super::secret::Secret;

/// Those records of a request that say again what one before them says: the position of that one, by theirs. `secret` is that
/// of the log which they go to, `said` what the request's headers say of all of them.
#[must_use]
pub fn repeated(inputs: &Inputs<'_>, secret: &Secret, said: &Said) -> BTreeMap<usize, usize> {
    let (mut firsts, mut repeated) = (HashMap::<RecordId, usize>::new(), BTreeMap::new());
    for (position, input) in inputs.records.iter().enumerate() {
        // What is wrong with an id is told where its record is made.
        let Ok(Some(id)) = input.id(secret, "") else { continue };
        let first = *firsts.entry(id).or_insert(position);
        if first < position
            && let (Some(Input::Plain(one, _)), Input::Plain(again, _)) = (inputs.records.get(first), input)
            && is_repeat(one, again, said)
        {
            repeated.insert(position, first);
        }
    }
    repeated
}

fn is_repeat(first: &RecordInput<'_>, again: &RecordInput<'_>, said: &Said) -> bool {
    first.replaces == again.replaces
        && again.time.is_none_or(|time| first.time == Some(time))
        && completed(first, said).is_some_and(|first| completed(again, said) == Some(first))
}

/// What a record says with what its request's headers add; nothing if the two contradict each other, which is refused where
/// it is made.
fn completed<'a>(input: &RecordInput<'a>, said: &Said) -> Option<Content<'a>> {
    let mut content = input.content.clone();
    said.complete(&mut content, "").ok()?;
    content.context = untraced(&content.context);
    Some(content)
}
