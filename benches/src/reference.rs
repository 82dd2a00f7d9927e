//! The reference record: 1.5 KB of JSON with 24 fields of values, each disclosed by itself, beside object, actor, subject,
//! context and an attribute: 34 disclosures with those of nothing, found by ten filters.

const FIELDS: usize = 24;

/// The record of one object in our own form.
pub(crate) fn reference(object: &str) -> String {
    let field = |number: usize| format!(r#""field_{number:02}":"value {:08x}""#, number * 0x0137_9bdf);
    let fields: Vec<String> = (0..FIELDS).map(field).collect();
    format!(
        r#"{{"object":{{"tenant":"pb.amritsar","module":"tradelicense","entity":"eg_tl_tradelicense",
"id":"{object}","operation":"update","category":"data","action":"approve"}},
"actor":{{"id":"8a1f3b4c-5d6e-4f70-8192-a3b4c5d6e7f8","type":"user","roles":["TL_APPROVER"]}},
"subjects":["9c2e3b4c-5d6e-4f70-8192-a3b4c5d6e7f8"],
"context":{{"reason":"documents verified","purpose":"licensing","transaction":"TX-2026-000017",
"correlation":"c-2026-000017","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}},
"values":{{"schema":{{"uri":"https://schemas.example/tl","version":"3"}},"whole":{{"new":{{{}}}}}}},
"attributes":{{"channel":"counter"}}}}"#,
        fields.join(",")
    )
}
