//! Where something of a request is wrong, by the names of DIGIT's envelope: its rows become records, and what refuses a record
//! names the record's own places.

use super::super::problem::Problem;

/// Each place of a record that a row becomes, with the member of the row that it comes from. Of several that a place begins
/// with, the first is meant.
const PLACES: [(&str, &str); 13] = [
    ("/object/tenant", "/tenantId"),
    ("/object/module", "/module"),
    ("/object/entity", "/entityName"),
    ("/object/id", "/objectId"),
    ("/object/row", "/keyValueMap/id"),
    ("/object/operation", "/operationType"),
    ("/object", ""),
    ("/actor", "/userUUID"),
    ("/time", "/changeDate"),
    ("/context/transaction", "/transactionCode"),
    ("/context/correlation", "/auditCorrelationId"),
    ("/context", ""),
    ("/values", "/keyValueMap"),
];

/// What stands before a column in the pointers to values: of a CREATE, whose columns are members of a document, and of the
/// others, whose columns are fields, each named by a pointer of one token.
const COLUMNS: [(&str, &str); 2] = [("/values/whole/new/", ""), ("/values/fields/", "~1")];

/// A problem's words, and the place that they are about, if they are about one.
pub(super) fn told(problem: &Problem) -> (String, Option<String>) {
    let (detail, place) = (problem.detail(), problem.pointer().filter(|pointer| !pointer.is_empty()));
    let Some(ours) = place else { return (detail.to_owned(), problem.named().map(str::to_owned)) };
    let theirs = theirs(ours);
    let words = match detail.strip_prefix(ours) {
        Some(rest) => format!("{theirs}{rest}"),
        None => detail.to_owned(),
    };
    (words, Some(theirs))
}

/// A pointer to something of a record, as one to where it stands in the envelope.
fn theirs(pointer: &str) -> String {
    let Some((row, rest)) = of_row(pointer) else { return pointer.to_owned() };
    if let Some(column) = COLUMNS.iter().find_map(|(before, mark)| column(rest.strip_prefix(before)?, mark)) {
        return format!("{row}/keyValueMap/{column}");
    }
    let begins = |ours: &str| rest.strip_prefix(ours).is_some_and(|more| more.is_empty() || more.starts_with('/'));
    match PLACES.iter().find(|(ours, _)| begins(ours)) {
        Some((_, theirs)) => format!("{row}{theirs}"),
        None => pointer.to_owned(),
    }
}

/// A pointer's row, and what comes behind it.
fn of_row(pointer: &str) -> Option<(&str, &str)> {
    let rest = pointer.strip_prefix("/AuditLogs/")?;
    let digits = rest.find('/').unwrap_or(rest.len());
    pointer.split_at_checked(pointer.len() - rest.len() + digits)
}

/// The first token, without the mark that it begins with, as a token again.
fn column(rest: &str, mark: &str) -> Option<String> {
    let token = rest.split('/').next()?.strip_prefix(mark)?;
    // A field's pointer is a token whose `~` and `/` are escaped twice: once for itself, once here.
    Some(if mark.is_empty() { token.to_owned() } else { token.replace("~0", "~") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_a_record_are_told_as_those_of_its_row() {
        for (ours, expected) in [
            ("/AuditLogs/7/object/tenant", "/AuditLogs/7/tenantId"),
            ("/AuditLogs/0/object/id", "/AuditLogs/0/objectId"),
            ("/AuditLogs/0/object", "/AuditLogs/0"),
            ("/AuditLogs/0/time", "/AuditLogs/0/changeDate"),
            ("/AuditLogs/0/actor/on_behalf_of", "/AuditLogs/0/userUUID"),
            ("/AuditLogs/0/context/correlation", "/AuditLogs/0/auditCorrelationId"),
            ("/AuditLogs/0/values", "/AuditLogs/0/keyValueMap"),
            ("/AuditLogs/12/values/whole/new/fee/x", "/AuditLogs/12/keyValueMap/fee"),
            ("/AuditLogs/12/values/fields/~1fee", "/AuditLogs/12/keyValueMap/fee"),
            // A column called `a~b/c`: in the field's pointer `/a~0b~1c`, and that as a token.
            ("/AuditLogs/1/values/fields/~1a~00b~01c/new", "/AuditLogs/1/keyValueMap/a~0b~1c"),
            // What is theirs already.
            ("/AuditLogs/1/keyValueMap/a~0b~1c", "/AuditLogs/1/keyValueMap/a~0b~1c"),
            ("/AuditLogs/1/objectId", "/AuditLogs/1/objectId"),
            ("/AuditLogs/1", "/AuditLogs/1"),
            ("/AuditLogs", "/AuditLogs"),
            ("/objectId", "/objectId"),
            ("", ""),
        ] {
            assert_eq!(theirs(ours), expected, "{ours}");
        }
    }
}
