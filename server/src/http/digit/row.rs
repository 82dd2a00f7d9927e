//! A record as a row of that service's audit log.

use cairn_tree::record::draft::Content;
use cairn_tree::record::json::Json;
use cairn_tree::record::open::Record;
use cairn_tree::record::parts::{Actor, Context, Object};
use cairn_tree::record::shown::Shown;
use cairn_tree::record::time::Time;
use cairn_tree::record::values::Field;

use super::json::Members;
use std::borrow::Cow;

/// What a row says.
pub(super) struct Row<'r> {
    pub(super) id: String,
    pub(super) object: &'r Object<'r>,
    pub(super) actor: Option<&'r Actor<'r>>,
    pub(super) context: Option<&'r Context<'r>>,
    pub(super) time: Time,
    /// Each column's name, and its value as JSON; what is not shown as in our own answers.
    pub(super) columns: Vec<(String, Cow<'r, str>)>,
    /// Its `integrityHash`.
    pub(super) hash: String,
}

/// A field's name in a row: its pointer without the first slash.
fn column(pointer: &str) -> String {
    pointer.strip_prefix('/').unwrap_or(pointer).replace("~1", "/").replace("~0", "~")
}

fn value<'r>(field: &'r Field<'r>) -> Cow<'r, str> {
    Cow::Borrowed(field.new.as_ref().or(field.old.as_ref()).map_or("null", Json::as_str))
}

impl<'r> Row<'r> {
    /// A row that was brought.
    pub(super) fn brought(content: &'r Content<'r>, id: String, time: Time, hash: String) -> Self {
        let fields = content.values.iter().flat_map(|values| values.fields());
        let columns = fields.map(|(pointer, field)| (column(pointer.as_str()), value(&field.content))).collect();
        let (actor, context) = (content.actor.as_ref(), content.context.as_ref());
        Self { id, object: &content.object, actor, context, time, columns, hash }
    }

    /// A row that is stored, as far as it is shown; `None` if its object is not.
    pub(super) fn stored(record: &'r Record, hash: String) -> Option<Self> {
        let (head, content) = (record.leaf().event().head(), record.content());
        let values = content.values.disclosed().and_then(Option::as_ref);
        let fields = values.into_iter().flat_map(|values| values.fields());
        let shown = |content: &'r Shown<Field<'static>>| match content {
            Shown::Disclosed(field) => value(field),
            Shown::Withheld => Cow::Borrowed(r#"{"withheld":true}"#),
            Shown::Erased(index) => Cow::Owned(format!(r#"{{"erased":{index}}}"#)),
        };
        let columns = fields.map(|(pointer, field)| (column(pointer.as_str()), shown(&field.content))).collect();
        Some(Self {
            id: head.id.to_string(),
            object: content.object.disclosed()?,
            actor: content.actor.disclosed().and_then(Option::as_ref),
            context: content.context.disclosed().and_then(Option::as_ref),
            time: head.time,
            columns,
            hash,
        })
    }

    pub(super) fn write(&self, members: &mut Members<'_>) {
        members.text("id", &self.id);
        if let Some(actor) = self.actor {
            members.text("userUUID", actor.id().as_str());
        }
        members.text("module", self.object.module.as_str());
        members.text("tenantId", self.object.tenant.as_str());
        if let Some(transaction) = self.context.and_then(|context| context.transaction.as_ref()) {
            members.text("transactionCode", transaction.as_str());
        }
        members.number("changeDate", self.time.millis());
        members.text("entityName", self.object.entity.as_str());
        members.text("objectId", self.object.id.as_str());
        members.object("keyValueMap", |members| {
            for (name, value) in &self.columns {
                members.raw(name, value);
            }
        });
        members.text("operationType", &self.object.operation.as_str().to_ascii_uppercase());
        members.text("integrityHash", &self.hash);
        if let Some(correlation) = self.context.and_then(|context| context.correlation.as_ref()) {
            members.text("auditCorrelationId", correlation.as_str());
        }
    }
}
