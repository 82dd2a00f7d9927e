//! Taking credentials out of messages: the caller's session token is none of the log's, and must not be kept with what it
//! came with, however it is spelt and wherever it stands.
//!
//! What can be read loses the member; within a `RequestInfo` it is as if it had never been there, so that a message is the
//! same one with another token, and elsewhere it is null. What can't be read loses what stands behind the name (`text`), and
//! so does text within what can be read: values, and names of members. Not here: passwords and other members that a
//! service's messages may have.

mod sign;
mod tag;
mod text;

use std::borrow::Cow;
use std::collections::BTreeMap;

use cairn_tree::record::json::Value;

use self::text::is_name;
pub(super) use self::text::scrubbed;

const ENVELOPE: &str = "requestinfo";

/// Takes the credentials out of a message.
pub(super) fn take_credentials_out(value: &mut Value) {
    // As deep as JSON may be that was read here.
    take_out(value, false);
}

fn take_out(value: &mut Value, is_envelope: bool) {
    match value {
        Value::Object(members) => {
            members.retain(|name, value| {
                match is_credential(name) {
                    true if is_envelope => return false,
                    true => *value = Value::Null,
                    false => take_out(value, plain(name) == ENVELOPE),
                }
                true
            });
            take_out_of_names(members);
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| take_out(element, false)),
        // JSON within a string is still somebody's JSON.
        Value::String(text) => {
            if let Some(kept) = scrubbed_text(text) {
                *text = kept.into();
            }
        }
        _ => {}
    }
}

/// A name may be JSON or a query itself. Of several that are alike then each keeps its value, behind a number.
fn take_out_of_names(members: &mut BTreeMap<Box<str>, Value>) {
    let scrubbed = |name: &str| Some((Box::from(name), scrubbed_text(name)?));
    let renamed: Vec<(Box<str>, String)> = members.keys().filter_map(|name| scrubbed(name)).collect();
    let mut number = 1_u64;
    for (name, kept) in renamed {
        let Some(value) = members.remove(&name) else { continue };
        let mut own: Box<str> = kept.as_str().into();
        while members.contains_key(&own) {
            number += 1;
            own = format!("{number} {kept}").into();
        }
        members.insert(own, value);
    }
}

/// A text without the credentials in it, if there are any.
pub(super) fn scrubbed_text(text: &str) -> Option<String> {
    match scrubbed(text.as_bytes()) {
        Cow::Owned(kept) if kept != text.as_bytes() => Some(String::from_utf8_lossy(&kept).into_owned()),
        _ => None,
    }
}

fn is_credential(name: &str) -> bool {
    is_name(name.as_bytes()) || is_name(plain(name).as_bytes())
}

/// A name without what may join its words, in lower case.
fn plain(name: &str) -> String {
    name.chars().filter(|char| !matches!(char, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use cairn_tree::record::json::Json;

    use super::*;

    #[test]
    fn a_credential_is_taken_out_wherever_and_however_it_is_written() {
        for (message, kept) in [
            (r#"{"RequestInfo":{"authToken":"s3cret","ver":"1"}}"#, r#"{"RequestInfo":{"ver":"1"}}"#),
            (r#"{"requestInfo":{"AUTHTOKEN":"s3cret"}}"#, r#"{"requestInfo":{}}"#),
            (r#"{"a":[{"request_info":{"auth_token":{"x":"s3cret"}}}]}"#, r#"{"a":[{"request_info":{}}]}"#),
            (r#"{"row":{"auth-token":"s3cret","b":1.0}}"#, r#"{"row":{"auth-token":null,"b":1.0}}"#),
            (
                r#"{"RequestInfo":{"userInfo":{"authToken":"s3cret"}}}"#,
                r#"{"RequestInfo":{"userInfo":{"authToken":null}}}"#,
            ),
            (r#"{"RequestInfo":{"auth\u0054oken":"s3cret"}}"#, r#"{"RequestInfo":{}}"#),
            (r#""{\"authToken\" : \"s3cret\", \"a\":1}""#, r#""{\"authToken\" : \"-\", \"a\":1}""#),
            (r#"{"row":{"auth%54oken":"s3cret"}}"#, r#"{"row":{"auth%54oken":null}}"#),
            (r#"{"a":"x?authToken%3Ds3cret%26b%3D1"}"#, r#"{"a":"x?authToken%3D-%26b%3D1"}"#),
            (r#"{"{\"authToken\":\"s3cret\"}":1}"#, r#"{"{\"authToken\":\"-\"}":1}"#),
            (r#"{"authToken=s3cret":1,"authToken=s3cret2":2}"#, r#"{"2 authToken=-":2,"authToken=-":1}"#),
            (
                r#"{"a":{"?authToken%3Ds3cret":{"auth_token":"s3cret"}}}"#,
                r#"{"a":{"?authToken%3D-":{"auth_token":null}}}"#,
            ),
            (
                "{\"a\":\"a\\u0000u\\u0000t\\u0000h\\u0000T\\u0000o\\u0000k\\u0000e\\u0000n\\u0000=\\u0000x\\u0000y\\u0000\"}",
                "{\"a\":\"a\\u0000u\\u0000t\\u0000h\\u0000T\\u0000o\\u0000k\\u0000e\\u0000n\\u0000=\\u0000-\\u0000\"}",
            ),
            (
                r#"{"a":{"requestInfo[authToken]":"s3cret","RequestInfo.authToken":"s3cret","x%5BauthToken%5D[0]":"s3cret"}}"#,
                r#"{"a":{"RequestInfo.authToken":null,"requestInfo[authToken]":null,"x%5BauthToken%5D[0]":null}}"#,
            ),
            (
                r#"{"RequestInfoX.authTokenExpiry":1,"my authToken count":2,"authToken[a.b]":3,"authToken.ttl":4}"#,
                r#"{"RequestInfoX.authTokenExpiry":1,"authToken.ttl":4,"authToken[a.b]":3,"my authToken count":2}"#,
            ),
            (
                r#"{"s":"{\"x\":\"{\\\"auth\\\\u0054oken\\\":\\\"s3cret\\\"}\"}"}"#,
                r#"{"s":"{\"x\":\"{\\\"auth\\\\u0054oken\\\":\\\"-\\\"}\"}"}"#,
            ),
            (r#"{"s":"<R><authToken>s3cret</authToken></R>"}"#, r#"{"s":"<R><authToken>-</authToken></R>"}"#),
            (r#"{"authTokens":"kept","a":"author"}"#, r#"{"a":"author","authTokens":"kept"}"#),
        ] {
            let mut value = Json::parse(message.as_bytes()).unwrap().value();
            take_credentials_out(&mut value);
            assert_eq!(value.to_json().as_str(), kept, "{message}");
            take_credentials_out(&mut value);
            assert_eq!(value.to_json().as_str(), kept, "{message}, once more");
        }
    }
}
