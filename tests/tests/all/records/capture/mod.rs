//! Messages of DIGIT's persister: what becomes of them, whoever brings them how often.

mod identity;
mod keeping;
mod loopback;
mod model;
mod quarantine;
mod rows;

use std::fs;

use cairn_tests::http::{Request, Response};
use cairn_tests::server::Data;
use serde_json::{Value, json};

use super::{Running, json_of};

const CAPTURE: &str = "/audit-service/log/v1/_capture";

/// A configuration of the shape that DIGIT's have: licences in a list, with what belongs to each below it.
pub(super) const LICENCES: &str = r#"
serviceMaps:
  serviceName: tl-services
  mappings:
    - version: 1.0
      description: writes licences
      fromTopic: save-licence
      isTransaction: true
      isAuditEnabled: true
      module: TL
      objecIdJsonPath: $.id
      tenantIdJsonPath: $.tenantId
      transactionCodeJsonPath: $.transactionCode
      auditAttributeBasePath: $.Licences.*
      queryMaps:
        - query: INSERT INTO tl_licence(id, tenantid, name, createdby, createdtime) VALUES (?, ?, ?, ?, ?);
          basePath: $.Licences.*
          jsonMaps:
            - jsonPath: $.Licences.*.id
            - jsonPath: $.Licences.*.tenantId
            - jsonPath: $.Licences.*.name
            - jsonPath: $.Licences.*.auditDetails.createdBy
            - jsonPath: $.Licences.*.auditDetails.createdTime
        - query: INSERT INTO tl_detail(id, licenceid, extra, mode) VALUES (?, ?, ?, ?)
          basePath: $.Licences.*.detail
          jsonMaps:
            - jsonPath: $.Licences.*.detail.id
            - jsonPath: $.Licences.*.id
            - jsonPath: $.Licences.*.detail.extra
              type: JSON
              dbType: JSONB
            - jsonPath: default
        - query: INSERT INTO tl_unit(id, active, detailid) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET active = ?
          basePath: Licences.*.detail.units.*
          jsonMaps:
            - jsonPath: $.Licences.*.detail.units.*.id
            - jsonPath: $.Licences.*.detail.units.*.active
            - jsonPath: $.Licences[*][?({id} in @.detail.units[*].id)].detail.id
            - jsonPath: $.Licences.*.detail.units.*.active
    - version: 1.0
      fromTopic: change-licence
      isAuditEnabled: true
      module: TL
      objecIdJsonPath: $.id
      tenantIdJsonPath: $.tenantId
      auditAttributeBasePath: $.licence
      queryMaps:
        - query: UPDATE TL_LICENCE SET name=?, lastmodifiedtime = ? WHERE id=?;
          basePath: licence
          jsonMaps:
            - jsonPath: $.licence.name
            - jsonPath: $.licence.auditDetails.lastModifiedTime
            - jsonPath: $.licence.id
        - query: DELETE FROM tl_unit WHERE id = ?
          basePath: licence.gone.*
          jsonMaps:
            - jsonPath: $.licence.gone.*.unit
    - version: 1.0
      fromTopic: unclear-licence
      isAuditEnabled: true
      module: TL
      objecIdJsonPath: $.id
      tenantIdJsonPath: $.tenantId
      auditAttributeBasePath: $.licence
      queryMaps:
        - query: MERGE INTO tl_licence USING x ON x.id = ?
          basePath: licence
          jsonMaps:
            - jsonPath: $.licence.id
    - version: 1.0
      fromTopic: not-audited
      queryMaps:
        - query: SELECT 1
          basePath: $.x
          jsonMaps: []
"#;

/// A server with this configuration.
fn running() -> Running {
    Running::start_with(|data| configured(data, LICENCES, ""))
}

/// A configuration about users: for each topic a query, the path of the rows that it writes, and those of their columns.
fn of_users(mappings: &[(&str, &str, &str, &[&str])]) -> String {
    let mut yaml = "serviceMaps:\n  mappings:\n".to_owned();
    for (topic, query, rows, columns) in mappings {
        yaml.push_str(&format!(
            "    - fromTopic: {topic}
      isAuditEnabled: true
      module: user
      objecIdJsonPath: $.uuid
      tenantIdJsonPath: $.tenantId
      auditAttributeBasePath: $.user
      queryMaps:
        - query: {query}
          basePath: {rows}
          jsonMaps:
"
        ));
        columns.iter().for_each(|column| yaml.push_str(&format!("            - jsonPath: {column}\n")));
    }
    yaml
}

/// Writes a persister's configuration, and more of the section for it.
pub(super) fn configured(data: &Data, yaml: &str, more: &str) {
    let folder = data.path().join("persister");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("tl.yml"), yaml).unwrap();
    let file = data.path().join("cairnd.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("# persister = []"));
    let text = text.replace("# persister = []", &format!("persister = [\"persister\"]\n{more}"));
    fs::write(file, text).unwrap();
}

fn capture(topic: &str, value: &Value) -> Request {
    Request::post(CAPTURE, json!({"topic": topic, "value": value}).to_string())
}

impl Running {
    pub(super) fn captured(&self, topic: &str, value: &Value) -> Value {
        let answer = self.ask_with(&self.data.token, capture(topic, value));
        assert_eq!(answer.status, 200, "{}", answer.text());
        json_of(&answer)
    }
}

/// Two licences, one with two units and one without a detail.
pub(super) fn licences() -> Value {
    let details = json!({"createdBy": "c-1", "createdTime": 1_700_000_000_000_u64, "lastModifiedBy": "m-1",
        "lastModifiedTime": 1_700_000_000_001_u64});
    json!({
        "RequestInfo": {"ver": "1.0.0", "authToken": "a secret", "userInfo": {"uuid": "u-1"}},
        "Licences": [
            {"id": "L-1", "tenantId": "pb.amritsar", "transactionCode": "T-1", "name": "one", "auditDetails": details,
             "detail": {"id": "d-1", "extra": {"n": 1.50, "list": []},
                        "units": [{"id": "u-1", "active": true}, {"id": "u-2", "active": false}]}},
            {"id": "L-2", "tenantId": "pb.amritsar", "name": "two", "auditDetails": details, "detail": null},
        ],
    })
}

pub(super) fn changed(name: &str) -> Value {
    json!({
        "RequestInfo": {},
        "licence": {"id": "L-1", "tenantId": "pb.amritsar", "name": name, "gone": [{"unit": "u-2"}],
                    "auditDetails": {"lastModifiedBy": "m-2", "lastModifiedTime": 1_700_000_005_000_u64}},
    })
}

/// An error, all of it.
fn error(answer: &Response) -> Value {
    assert_eq!(answer.status, 400, "{}", answer.text());
    let body = json_of(answer);
    assert_eq!(body["Errors"].as_array().unwrap().len(), 1);
    assert_eq!(body["Errors"][0]["code"], "EG_AUDIT_LOGS_CREATE_ERR");
    body
}
