//! What a provider answers, read against what it was asked, and what of it the caller gets.
//!
//! Results and errors are passed on as they were written; everything around them is ours. An answer that
//! holds a provider's key is not passed on at all.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use trace_contracts::Secret;

use super::call::{Batch, Shape, present};

/// Why an answer is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Bad {
    /// It is no JSON-RPC answer to what was asked: another id, none, two for one call, neither result nor error.
    #[error("a provider's answer is none to what it was asked")]
    Unreadable,
    /// A key of the pool is in it.
    #[error("a provider's answer has a key of the pool in it")]
    KeyInside,
}

impl Bad {
    /// The name; stable.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "bad_answer",
            Self::KeyInside => "key_in_answer",
        }
    }
}

/// An answer as it comes. What providers add is left out.
#[derive(Deserialize)]
struct Wire<'a> {
    id: u64,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// The caller's answer: each call's own id with what came for it, in the order of the calls. Nothing where
/// nobody waits for one.
pub(super) fn compose(
    batch: &Batch<'_>,
    answer: &[u8],
    keys: &[Secret<String>],
) -> Result<Option<String>, Bad> {
    if !batch.is_answered() {
        return Ok(None);
    }
    let text = std::str::from_utf8(answer).map_err(|_| Bad::Unreadable)?;
    check_for_keys(text, keys)?;
    let parts: Vec<Wire<'_>> = match batch.shape() {
        Shape::Single => vec![serde_json::from_str(text).map_err(|_| Bad::Unreadable)?],
        Shape::List => serde_json::from_str(text).map_err(|_| Bad::Unreadable)?,
    };
    let mut answers: Vec<Option<String>> = vec![None; batch.calls().len()];
    for part in &parts {
        let place = usize::try_from(part.id).map_err(|_| Bad::Unreadable)?;
        let call = batch.calls().get(place).ok_or(Bad::Unreadable)?;
        let id = call.id.ok_or(Bad::Unreadable)?;
        if answers[place].replace(written(id, part)?).is_some() {
            return Err(Bad::Unreadable);
        }
    }
    let is_whole =
        batch.calls().iter().zip(&answers).all(|(call, answer)| call.id.is_some() == answer.is_some());
    if !is_whole {
        return Err(Bad::Unreadable);
    }
    let answers: Vec<String> = answers.into_iter().flatten().collect();
    Ok(Some(match batch.shape() {
        Shape::Single => answers.concat(),
        Shape::List => format!("[{}]", answers.join(",")),
    }))
}

fn written(id: &str, part: &Wire<'_>) -> Result<String, Bad> {
    let error = part.error.map(RawValue::get).filter(|error| *error != "null");
    match (part.result.map(RawValue::get), error) {
        (Some(result), None) => Ok(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}")),
        (None | Some("null"), Some(error)) if error.starts_with('{') => {
            Ok(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{error}}}"))
        }
        _ => Err(Bad::Unreadable),
    }
}

/// Keys have no character that JSON has to escape, but may be escaped all the same: they are looked for in the
/// text, and in the text as a reader of it has it.
fn check_for_keys(text: &str, keys: &[Secret<String>]) -> Result<(), Bad> {
    let holds = |text: &str| keys.iter().any(|key| text.contains(key.expose().as_str()));
    if holds(text) {
        return Err(Bad::KeyInside);
    }
    if !text.contains('\\') {
        return Ok(());
    }
    let read: Value = serde_json::from_str(text).map_err(|_| Bad::Unreadable)?;
    if holds(&read.to_string()) { Err(Bad::KeyInside) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLS: &str = r#"[{"jsonrpc":"2.0","id":"x","method":"a"},{"jsonrpc":"2.0","method":"n"},{"jsonrpc":"2.0","id":2.5e3,"method":"b"}]"#;

    fn answered(calls: &str, answer: &str) -> Result<Option<String>, Bad> {
        let keys = [Secret::new("key-0123456789".to_owned())];
        compose(&Batch::parse(calls, 10).unwrap(), answer.as_bytes(), &keys)
    }

    #[test]
    fn each_call_has_its_own_id_back_whatever_the_order() {
        let answer = r#" [ {"jsonrpc":"2.0","id":2,"error":{"code":-1,"message":"no"},"result":null}, {"id":0,"result": {"n":12345678901234567890123},"error":null} ]"#;
        assert_eq!(
            answered(CALLS, answer).unwrap().unwrap(),
            r#"[{"jsonrpc":"2.0","id":"x","result":{"n":12345678901234567890123}},{"jsonrpc":"2.0","id":2.5e3,"error":{"code":-1,"message":"no"}}]"#
        );
        let single = r#"{"jsonrpc":"2.0","id":"x","method":"a"}"#;
        assert_eq!(
            answered(single, r#"{"id":0,"result":null}"#).unwrap().unwrap(),
            r#"{"jsonrpc":"2.0","id":"x","result":null}"#
        );
        assert_eq!(answered(r#"{"jsonrpc":"2.0","method":"n"}"#, "whatever").unwrap(), None);
    }

    #[test]
    fn what_is_no_answer_to_what_was_asked_is_not_passed_on() {
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"id":0,"result":1}"#,
            r#"[{"id":0,"result":1}]"#,
            r#"[{"id":0,"result":1},{"id":0,"result":1}]"#,
            r#"[{"id":0,"result":1},{"id":1,"result":1}]"#,
            r#"[{"id":0,"result":1},{"id":3,"result":1}]"#,
            r#"[{"id":0,"result":1},{"id":"2","result":1}]"#,
            r#"[{"id":0,"result":1},{"id":2}]"#,
            r#"[{"id":0,"result":1},{"id":2,"result":1,"error":{"code":1}}]"#,
            r#"[{"id":0,"result":1},{"id":2,"error":"no"}]"#,
            r#"[{"id":0,"result":1},{"id":2,"result":1},{"id":2,"result":1}]"#,
        ] {
            assert_eq!(answered(CALLS, bad), Err(Bad::Unreadable), "{bad}");
        }
    }

    #[test]
    fn a_key_in_an_answer_withholds_it_however_it_is_written() {
        let single = r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#;
        for said in ["key-0123456789", r"\u006bey-0123456789", r"key-01\u00323456789"] {
            let answer = format!(r#"{{"id":0,"error":{{"code":1,"message":"https://provider/{said}/x"}}}}"#);
            assert_eq!(answered(single, &answer), Err(Bad::KeyInside), "{said}");
        }
        assert!(answered(single, r#"{"id":0,"result":"\u006bey-012345678"}"#).unwrap().is_some());
    }
}
