//! Ids of records that follow from something else than chance, so that the same thing gets the same id again: of what its
//! sender may deliver twice, and of what the server itself writes.

use cairn_tree::record::id::RecordId;

use super::form::Delivery;
use super::refusal::Refusal;
use super::secret::Secret;

/// The id, in the log with this secret, of something that its sender may deliver again: a second one gets the same.
pub(super) fn delivered(secret: &Secret, tenant: &str, key: &Delivery<'_>, place: &str) -> Result<RecordId, Refusal> {
    let bits = match key {
        Delivery::Event(key) => secret.delivery(&[tenant, key.source.as_str(), key.id.as_str()].map(str::as_bytes)),
        // Of more parts than an event's, so that no event has the id of a row.
        Delivery::Row { message, number } => {
            secret.delivery(&[b"captured", tenant.as_bytes(), message, &number.to_be_bytes()])
        }
    };
    derived_id(bits, place)
}

/// The id of these bits, which who has a secret derives (RFC 9562, section 5.4: version 4).
pub(super) fn derived_id(mut bits: [u8; 16], place: &str) -> Result<RecordId, Refusal> {
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bits;
    *version = 0x40 | *version & 0x0f;
    *variant = 0x80 | *variant & 0x3f;
    RecordId::from_bytes(bits).map_err(|error| Refusal::invalid(format!("{place}/id"), error.to_string()))
}
