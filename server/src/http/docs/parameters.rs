//! The parameters that several routes have, for the document alone; the code reads them by name.

use serde::Serialize;
use utoipa::IntoParams;

/// What records are looked for, by lists and by reports.
#[derive(Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Whose records; also as the header X-Tenant-Id. Needed by a token for more than one tenant
    tenant: Option<String>,
    /// The object's module
    module: Option<String>,
    /// The kind of object
    entity: Option<String>,
    /// The object's id
    object: Option<String>,
    /// What was done
    operation: Option<String>,
    /// What was done, in the words of the business
    action: Option<String>,
    /// What it counts as
    category: Option<String>,
    /// Who did it
    actor: Option<String>,
    /// A person that the data is about
    subject: Option<String>,
    /// The correlation id
    correlation: Option<String>,
    /// The business transaction
    transaction: Option<String>,
    /// The first records of streams with this topic
    topic: Option<String>,
    /// The earliest time of the server, as in RFC 3339, included
    from: Option<String>,
    /// The latest time of the server, as in RFC 3339, included
    until: Option<String>,
    /// The log, by name or origin, where the tenant's records were before it got a log of its own; the one that has them
    /// now if absent
    log: Option<String>,
}

/// Which stream: that of an object.
#[derive(Serialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ObjectPath {
    /// The object's tenant; each part is percent-encoded
    tenant: String,
    /// Its module
    module: String,
    /// Its kind
    entity: String,
    /// Its id
    object: String,
}

/// In which log: what every route of a stream takes.
#[derive(Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct StreamLog {
    /// The log, by name or origin, where the tenant's records were before it got a log of its own; the one that has them
    /// now if absent
    log: Option<String>,
}
