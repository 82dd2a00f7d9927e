//! The YAML of persister configurations: which members there are, spelt as that service spells them.
//!
//! A member that it does not know is an error there, and here. Not here: what the members mean.

use serde::Deserialize;

/// A file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct File {
    pub(super) service_maps: ServiceMaps,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ServiceMaps {
    #[serde(rename = "serviceName")]
    _service_name: Option<String>,
    pub(super) mappings: Option<Vec<Mapping>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Mapping {
    pub(super) version: Option<String>,
    #[serde(rename = "name")]
    _name: Option<String>,
    #[serde(rename = "description")]
    _description: Option<String>,
    pub(super) from_topic: Option<String>,
    #[serde(rename = "isTransaction")]
    _is_transaction: Option<bool>,
    #[serde(rename = "isBatch")]
    _is_batch: Option<bool>,
    pub(super) is_audit_enabled: Option<bool>,
    pub(super) module: Option<String>,
    /// Spelt so there.
    pub(super) objec_id_json_path: Option<String>,
    pub(super) tenant_id_json_path: Option<String>,
    pub(super) transaction_code_json_path: Option<String>,
    pub(super) audit_attribute_base_path: Option<String>,
    pub(super) query_maps: Option<Vec<QueryMap>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct QueryMap {
    pub(super) query: Option<String>,
    pub(super) base_path: Option<String>,
    #[serde(rename = "isParentEntity")]
    _is_parent_entity: Option<bool>,
    pub(super) json_maps: Option<Vec<JsonMap>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct JsonMap {
    pub(super) json_path: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    #[serde(rename = "dbType")]
    _db_type: Option<String>,
    #[serde(rename = "parentPath")]
    _parent_path: Option<String>,
    #[serde(rename = "format")]
    _format: Option<String>,
}

/// Reads a file's text.
///
/// # Errors
/// What is wrong and where, in a line.
pub(super) fn parse(text: &str) -> Result<File, String> {
    serde_saphyr::from_str(text).map_err(|error| {
        let told = error.to_string();
        let line = told.lines().next().unwrap_or_default();
        line.strip_prefix("error: ").unwrap_or(line).to_owned()
    })
}
