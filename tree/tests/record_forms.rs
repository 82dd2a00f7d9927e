//! The forms that records come in: what each becomes, and where each fault is.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use cairn_tree::record::class::{Class, Classed};
use cairn_tree::record::json::{Fault, FaultKind};
use cairn_tree::record::text::Name;
use cairn_tree::record::values::{Form, Sides};
use cairn_tree::wire::record::native::NativeInput;
use cairn_tree::wire::record::{RecordInput, cloudevents, digit, native};

const OBJECT: &str = r#""object":{"tenant":"pb","module":"tl","entity":"license","id":"L-1","operation":"update"}"#;

fn plain(body: &str) -> RecordInput<'_> {
    match native::parse(body.as_bytes()).unwrap().pop() {
        Some(NativeInput::Plain(input)) => *input,
        other => panic!("{other:?}"),
    }
}

fn refused(body: &str) -> Fault {
    native::parse(body.as_bytes()).unwrap_err()
}

/// The fields with their classes and values, as text.
fn fields(input: &RecordInput<'_>) -> Vec<String> {
    let values = input.content.values.as_ref().unwrap();
    let side = |json: &Option<cairn_tree::record::json::Json<'_>>| {
        json.as_ref().map_or("-".to_owned(), |json| json.as_str().to_owned())
    };
    let field = |(pointer, field): &(_, Classed<cairn_tree::record::values::Field<'_>>)| {
        format!("{pointer} {} {} {}", field.class, side(&field.content.old), side(&field.content.new))
    };
    values.fields().iter().map(field).collect()
}

#[test]
fn an_external_digest_has_its_own_class_or_the_one_of_its_rule_or_the_default() {
    let classes = |classification: &str| {
        let digest =
            |name: &str, class: &str| format!(r#"{{"name":"{name}","size":1,"sha256":"{}"{class}}}"#, "ab".repeat(32));
        let external = [digest("a", ""), digest("b", r#","class":"public""#), digest("c", "")].join(",");
        let body = format!(r#"{{{OBJECT},"external":[{external}]{classification}}}"#);
        let input = plain(&body);
        let mut classes: Vec<String> = input
            .content
            .attributes
            .as_ref()
            .unwrap()
            .external()
            .iter()
            .map(|one| format!("{} {}", one.content.name().as_str(), one.class))
            .collect();
        classes.sort_unstable();
        classes
    };
    assert_eq!(classes(""), ["a internal", "b public", "c internal"]);
    let default = r#","classification":{"default":"secret"}"#;
    assert_eq!(classes(default), ["a secret", "b public", "c secret"]);
    let rules =
        r#","classification":{"default":"secret","external":{"b":"internal","c":"restricted","other":"public"}}"#;
    assert_eq!(classes(rules), ["a secret", "b public", "c restricted"]);
    let wrong = format!(r#"{{{OBJECT},"classification":{{"external":{{"c":"hidden"}}}}}}"#);
    assert_eq!(refused(&wrong).pointer(), "/classification/external/c");
}

#[test]
fn documents_are_cut_into_fields_as_deep_as_classes_reach() {
    let body = format!(
        r#"{{{OBJECT},"values":{{"whole":{{
            "old":{{"a":1,"p":{{"x":1,"y":{{"z":1}}}},"gone":true,"q":{{}}}},
            "new":{{"a":1.0,"p":{{"x":null,"y":{{"z":2,"w":[{{"v":1}}]}}}},"q":{{"r":1}},"m/n":[]}}}}}},
            "classification":{{"default":"public","values":{{"/p/y":"restricted","/p/y/z":"secret","/q/r":"secret","/other":"secret"}}}}}}"#
    );
    let input = plain(&body);
    assert_eq!(input.content.values.as_ref().unwrap().form(), Form::Whole(Sides::Both));
    assert_eq!(
        fields(&input),
        [
            "/a public 1 1.0",
            "/gone public true -",
            "/m~1n public - []",
            "/p/x public 1 null",
            "/p/y/w restricted - [{\"v\":1}]",
            "/p/y/z secret 1 2",
            // An empty object on one side leaves no trace in parts, so that it stays whole, as secret as what is in it.
            "/q secret {} {\"r\":1}",
        ]
    );
    let scalar = format!(r#"{{{OBJECT},"values":{{"whole":{{"old":{{"a":1}},"new":[1]}}}}}}"#);
    assert_eq!(fields(&plain(&scalar)), [" internal {\"a\":1} [1]"]);
    let empty = format!(r#"{{{OBJECT},"values":{{"whole":{{"new":{{}}}}}}}}"#);
    assert!(fields(&plain(&empty)).is_empty());
}

#[test]
fn faults_of_our_own_form_have_their_place() {
    let with = |members: &str| format!("{{{OBJECT},{members}}}");
    // Longer than a value may be.
    let long = format!("\"{}\"", "x".repeat(300_000));
    let file = format!(r#"{{"name":"f","size":1,"sha256":"{}"}}"#, "0".repeat(64));
    for (body, pointer) in [
        ("{}".to_owned(), "/object"),
        (r#"{"object":{"tenant":"pb"}}"#.to_owned(), "/object/module"),
        (OBJECT.replace("license", "").replace("\"object\"", "{\"object\"") + "}", "/object/entity"),
        (OBJECT.replace("update", "Update").replace("\"object\"", "{\"object\"") + "}", "/object/operation"),
        (OBJECT.replace("\"tl\"", "\"cairn\"").replace("\"object\"", "{\"object\"") + "}", "/object/module"),
        (with(r#""unknown":1"#), "/unknown"),
        (with(r#""actor":{"id":"a","role":[]}"#), "/actor/role"),
        (with(r#""actor":{"id":7}"#), "/actor/id"),
        (with(r#""actor":{"id":"a","roles":["x",""]}"#), "/actor/roles/1"),
        (with(r#""subjects":[]"#), "/subjects"),
        (with(r#""id":"not-a-uuid""#), "/id"),
        (with(r#""time":"yesterday""#), "/time"),
        (with(r#""time":-1"#), "/time"),
        (with(r#""time":1e3"#), "/time"),
        (with(r#""context":{"traceparent":"00-0-0-0"}"#), "/context/traceparent"),
        (with(r#""values":{}"#), "/values"),
        (with(r#""values":{"whole":{},"fields":{}}"#), "/values"),
        (with(r#""values":{"whole":{"old":1}}"#), "/values/whole"),
        (with(r#""values":{"whole":{}}"#), "/values/whole"),
        (with(r#""values":{"fields":{}}"#), "/values/fields"),
        (with(&format!(r#""values":{{"whole":{{"new":{{"a/b":{long}}}}}}}"#)), "/values/whole/new/a~1b"),
        (with(&format!(r#""values":{{"fields":{{"/a~1b":{{"old":{long}}}}}}}"#)), "/values/fields/~1a~01b"),
        (with(&format!(r#""attributes":{{"x":1,"a/b":{long}}}"#)), "/attributes/a~1b"),
        (with(r#""attributes":{"cairn.x":1}"#), "/attributes"),
        (with(r#""context":{"stream":"cairn.x"}"#), "/context/stream"),
        (with(&format!(r#""external":[{file},{file}]"#)), "/external"),
        (with(r#""values":{"fields":{"a":{"new":1}}}"#), "/values/fields/a"),
        (with(r#""values":{"fields":{"/a":{"new":1},"/a/b":{"new":1}}}"#), "/values/fields/~1a~1b"),
        (with(r#""values":{"fields":{"/a":{}}}"#), "/values/fields/~1a"),
        (with(r#""values":{"fields":{"/a":{"new":1,"newer":2}}}"#), "/values/fields/~1a/newer"),
        (with(r#""values":{"fields":{"/a":{"new":{"b":1,"b":2}}}}"#), "/values/fields/~1a/new/b"),
        (with(r#""classification":{"values":{"/a":"hidden"}}"#), "/classification/values/~1a"),
        (with(r#""external":[{"name":"f","size":1,"sha256":"00"}]"#), "/external/0/sha256"),
        (with(r#""external":[{"name":"f","sha256":"00"}]"#), "/external/0/sha256"),
        (with(r#""expected_seq":1.5"#), "/expected_seq"),
        (with(r#""expected_prev":"x""#), "/expected_prev"),
        (with(r#""topics":[]"#), "/topics"),
        (with(r#""signature":"x""#), "/signature"),
        (with(&format!(r#""signature":"{}""#, "A".repeat(86))), "/object"),
        (with(r#""event":{}"#), "/event"),
    ] {
        let fault = refused(&body);
        assert_eq!(fault.pointer(), pointer, "{body}: {fault}");
        assert!(!fault.kind().is_syntax() || fault.kind() == &FaultKind::Duplicate, "{body}: {fault}");
        let batch = format!("[{{{OBJECT}}},{body}]");
        assert_eq!(refused(&batch).pointer(), format!("/1{pointer}"));
        let lines = format!("{{{OBJECT}}}\n\n{body}\n");
        assert_eq!(native::parse_lines(lines.as_bytes()).unwrap_err().pointer(), format!("/1{pointer}"));
    }
    let whole = refused("[{\"object\":");
    assert!(whole.kind().is_syntax());
    assert_eq!(native::parse(b"[]").unwrap().len(), 0);
}

#[test]
fn sizes_past_their_bounds_are_refused() {
    let long = "x".repeat(300);
    assert_eq!(refused(&format!("{{{}}}", OBJECT.replace("L-1", &long))).kind(), &FaultKind::TooLong(256));
    let value = format!(r#"{{{OBJECT},"values":{{"fields":{{"/a":{{"new":"{}"}}}}}}}}"#, "x".repeat(300_000));
    assert_eq!(refused(&value).pointer(), "/values/fields/~1a");
    let long: Vec<String> = (0..6).map(|name| format!(r#""/{name}":{{"new":"{}"}}"#, "x".repeat(200_000))).collect();
    let record = format!(r#"{{{OBJECT},"values":{{"fields":{{{}}}}}}}"#, long.join(","));
    assert_eq!(refused(&format!("[{record}]")).pointer(), "/0");
    let roles: Vec<&str> = vec!["\"r\""; 65];
    let fault = refused(&format!(r#"{{{OBJECT},"actor":{{"id":"a","roles":[{}]}}}}"#, roles.join(",")));
    assert_eq!((fault.pointer(), fault.kind()), ("/actor/roles", &FaultKind::TooMany(64)));
    let behalf =
        (0..5).fold(String::from(r#"{"id":"z"}"#), |inner, _| format!(r#"{{"id":"a","on_behalf_of":{inner}}}"#));
    let fault = refused(&format!(r#"{{{OBJECT},"actor":{behalf}}}"#));
    assert_eq!(fault.kind(), &FaultKind::TooMany(4));
}

#[test]
fn what_is_expected_of_a_stream_is_read() {
    let body = format!(r#"{{{OBJECT},"expected_seq":null,"topics":["a"],"time":1700000000123,"context":{{}}}}"#);
    let input = plain(&body);
    assert_eq!(input.stream.expected_seq, Some(None));
    assert_eq!(input.stream.expected_prev, None);
    assert_eq!(input.time.unwrap().to_string(), "2023-11-14T22:13:20.123000Z");
    assert_eq!(input.stream.topics.as_ref().unwrap().names().len(), 1);
    assert_eq!(input.content.context, None);
}

#[test]
fn a_cloud_event_becomes_a_record() {
    let tenant = Name::new("pb").unwrap();
    let body = r#"{"specversion":"1.0","id":"A-1","source":"/doors/north","type":"com.example.door.Opened","subject":"door-7",
        "time":"2018-04-05T17:31:00.5+01:00","datacontenttype":"application/json","dataschema":"https://schemas.example/door",
        "traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","authid":"u1","authtype":"user","count":5,
        "unset":null,"data":{"by":"key","at":1.50}}"#;
    let inputs = cloudevents::parse(body.as_bytes(), Some(&tenant)).unwrap();
    let [input] = inputs.as_slice() else { panic!("{inputs:?}") };
    assert_eq!((input.key.source.as_str(), input.key.id.as_str()), ("/doors/north", "A-1"));
    let content = &input.record.content;
    let object = &content.object;
    assert_eq!([object.tenant.as_str(), object.module.as_str()], ["pb", "/doors/north"]);
    assert_eq!([object.entity.as_str(), object.id.as_str()], ["com.example.door.Opened", "door-7"]);
    assert_eq!(object.operation.as_str(), "event");
    assert_eq!(input.record.time.unwrap().to_string(), "2018-04-05T16:31:00.500000Z");
    assert_eq!(content.actor.as_ref().unwrap().id().as_str(), "u1");
    assert!(content.context.as_ref().unwrap().traceparent.is_some());
    assert_eq!(fields(&input.record), ["/at internal - 1.50", "/by internal - \"key\""]);
    assert_eq!(content.values.as_ref().unwrap().schema().unwrap().uri.as_str(), "https://schemas.example/door");
    let attributes = content.attributes.as_ref().unwrap().named().iter();
    let attributes: Vec<String> =
        attributes.map(|(name, attribute)| format!("{name}={}", attribute.content.as_str())).collect();
    assert_eq!(
        attributes,
        [
            "authid=\"u1\"",
            "authtype=\"user\"",
            "ce-datacontenttype=\"application/json\"",
            "ce-id=\"A-1\"",
            "ce-source=\"/doors/north\"",
            "ce-type=\"com.example.door.Opened\"",
            "count=5",
            "traceparent=\"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\"",
        ]
    );
}

#[test]
fn cloud_events_say_themselves_what_they_are_about() {
    let tenant = Name::new("pb").unwrap();
    let body = r#"[{"specversion":"1.0","id":"1","source":"s","type":"t","tenant":"pb.amritsar","module":"tl","entity":"license",
        "operation":"delete","data_base64":"AAEC"},{"specversion":"1.0","id":"2","source":"s","type":"t"}]"#;
    let inputs = cloudevents::parse(body.as_bytes(), Some(&tenant)).unwrap();
    let object = &inputs[0].record.content.object;
    assert_eq!([object.tenant.as_str(), object.module.as_str()], ["pb.amritsar", "tl"]);
    assert_eq!([object.entity.as_str(), object.id.as_str(), object.operation.as_str()], ["license", "1", "delete"]);
    assert_eq!(fields(&inputs[0].record), [" internal - \"AAEC\""]);
    assert_eq!(inputs[1].record.content.values, None);

    for (event, pointer) in [
        (r#"{"id":"1","source":"s","type":"t"}"#, "/specversion"),
        (r#"{"specversion":"0.3","id":"1","source":"s","type":"t"}"#, "/specversion"),
        (r#"{"specversion":"1.0","source":"s","type":"t"}"#, "/id"),
        (r#"{"specversion":"1.0","id":"","source":"s","type":"t"}"#, "/id"),
        (r#"{"specversion":"1.0","id":"1","source":null,"type":"t"}"#, "/source"),
        (r#"{"specversion":"1.0","id":"1","source":"s","type":7}"#, "/type"),
        (r#"{"specversion":"1.0","id":"1","source":"s","type":"t","Upper":"x"}"#, "/Upper"),
        (r#"{"specversion":"1.0","id":"1","source":"s","type":"t","ext":{}}"#, "/ext"),
        (r#"{"specversion":"1.0","id":"1","source":"s","type":"t","time":"now"}"#, "/time"),
        (r#"{"specversion":"1.0","id":"1","source":"s","type":"t","operation":"Do It"}"#, "/operation"),
        (r#"{"specversion":"1.0","id":"1","source":"s","type":"t","data":1,"data_base64":"AA=="}"#, "/data_base64"),
        (r#"{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"***"}"#, "/data_base64"),
        (r#"{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"AA"}"#, "/data_base64"),
        (r#"{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"_-8="}"#, "/data_base64"),
        (r#"{"specversion":"1.0","id":"1","source":"s","type":"t","module":"cairn"}"#, ""),
    ] {
        let fault = cloudevents::parse(event.as_bytes(), Some(&tenant)).unwrap_err();
        assert_eq!(fault.pointer(), pointer, "{event}: {fault}");
    }
}

const ROW: &str = r#"{"id":"given","userUUID":"u-1","module":"tl","tenantId":"pb.amritsar","transactionCode":"",
    "changeDate":1668585600123,"entityName":"eg_tl_unit","objectId":"TL-1","auditCorrelationId":"c-1",
    "operationType":"Update","integrityHash":"x","unknown":{"a":[1]},"keyValueMap":{"id":"unit-7","rate":1.50,"note":null}}"#;

#[test]
fn a_row_of_digit_becomes_a_record() {
    let body = format!(r#"{{"RequestInfo":{{"apiId":"x","authToken":"t0k"}},"AuditLogs":[{ROW}],"more":1}}"#);
    let create = digit::parse_create(body.as_bytes()).unwrap();
    assert_eq!(create.request_info.auth_token.as_deref(), Some("t0k"));
    let [record] = create.records.as_slice() else { panic!("{create:?}") };
    let content = &record.content;
    assert_eq!(record.id, None);
    assert_eq!(content.object.operation.as_str(), "update");
    assert_eq!(content.object.row.as_ref().unwrap().as_str(), "unit-7");
    assert_eq!(content.actor.as_ref().unwrap().id().as_str(), "u-1");
    let context = content.context.as_ref().unwrap();
    assert_eq!((context.correlation.as_ref().unwrap().as_str(), &context.transaction), ("c-1", &None));
    assert_eq!(record.time.unwrap().millis(), 1_668_585_600_123);
    let changed = ["/id internal - \"unit-7\"", "/note internal - null", "/rate internal - 1.50"];
    assert_eq!(fields(record), changed);
    assert_eq!(content.values.as_ref().unwrap().form(), Form::Fields, "an UPDATE does not have the whole row");

    let created = body.replace("\"Update\"", "\"CREATE\"");
    let create = digit::parse_create(created.as_bytes()).unwrap();
    assert_eq!(create.records[0].content.values.as_ref().unwrap().form(), Form::Whole(Sides::New));
    assert_eq!(fields(&create.records[0]), changed);

    let deleted = body.replace("\"Update\"", "\"delete\"").replace("unit-7", "TL-1");
    let create = digit::parse_create(deleted.as_bytes()).unwrap();
    let content = &create.records[0].content;
    assert_eq!(content.values.as_ref().unwrap().form(), Form::Fields);
    let condition = ["/id internal \"TL-1\" -", "/note internal null -", "/rate internal 1.50 -"];
    assert_eq!(fields(&create.records[0]), condition);
    assert_eq!(content.object.row, None);
    // A column's name may have what a pointer writes otherwise.
    let odd = body.replace("\"rate\"", "\"a/b~\"");
    assert_eq!(fields(&digit::parse_create(odd.as_bytes()).unwrap().records[0])[0], "/a~1b~0 internal - 1.50");
}

#[test]
fn rows_of_digit_are_refused_as_that_service_does() {
    let body = |row: &str| format!(r#"{{"RequestInfo":{{}},"AuditLogs":[{ROW},{row}]}}"#);
    for (row, pointer) in [
        (ROW.replace(r#"{"id":"unit-7","rate":1.50,"note":null}"#, "{}"), "/AuditLogs/1/keyValueMap"),
        (ROW.replace(r#"{"id":"unit-7","rate":1.50,"note":null}"#, "null"), "/AuditLogs/1/keyValueMap"),
        (ROW.replace("\"Update\"", "\"UPSERT\""), "/AuditLogs/1/operationType"),
        (ROW.replace("\"Update\"", "null"), "/AuditLogs/1/operationType"),
        (ROW.replace("\"objectId\"", "\"objectID\""), "/AuditLogs/1/objectId"),
        (ROW.replace("1668585600123", "\"soon\""), "/AuditLogs/1/changeDate"),
        (ROW.replace("\"u-1\"", "null"), "/AuditLogs/1/userUUID"),
    ] {
        let fault = digit::parse_create(body(&row).as_bytes()).unwrap_err();
        assert_eq!(fault.pointer(), pointer, "{fault}");
    }
    let rows = vec![ROW; 101].join(",");
    let fault = digit::parse_create(format!(r#"{{"AuditLogs":[{rows}]}}"#).as_bytes()).unwrap_err();
    assert_eq!(fault.kind(), &FaultKind::TooMany(100));

    let verify =
        digit::parse_verify(br#"{"objectId":"TL-1","keyValuePairs":{"a":1},"requestInfo":{"authToken":""}}"#).unwrap();
    assert_eq!((verify.object_id.as_str(), verify.key_values.as_str()), ("TL-1", "{\"a\":1}"));
    assert_eq!(verify.request_info.auth_token, None);
    assert_eq!(digit::parse_verify(b"{}").unwrap_err().pointer(), "/objectId");
}

#[test]
fn classes_have_an_order() {
    assert!(Class::ALL.is_sorted());
    assert!(Class::ALL.iter().all(|class| Class::from_name(class.name()) == Some(*class)));
}
