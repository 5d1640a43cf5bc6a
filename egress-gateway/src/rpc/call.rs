//! A JSON-RPC 2.0 request, single or batch, read so that there is one reading of it.
//!
//! What goes on to a provider is written anew from what was read here: a method is compared and sent as the
//! same text, however it was spelled, and nothing goes along that was not looked at.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{config::Method, unique};

/// An id that is a text has at most this many bytes, with its quotes and escapes.
const MAX_ID_BYTES: usize = 256;
/// The version that every call names.
const VERSION: &str = "2.0";

/// Why a body is not passed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Bad {
    /// Not JSON, or no JSON-RPC.
    #[error("the body is no JSON-RPC 2.0 request: {0}")]
    Form(String),
    /// A key stands twice in one object: two readers would see two requests.
    #[error("a key stands twice in one object of the body; send each once")]
    Twice,
    /// A batch of nothing.
    #[error("the batch is empty: send one call at least")]
    Empty,
    /// Too many.
    #[error("a batch has at most {0} calls; send several")]
    TooMany(usize),
    /// A version of its own.
    #[error("each call says `\"jsonrpc\": \"2.0\"`")]
    Version,
    /// An id that is neither text nor number.
    #[error("an `id` is a text of at most {MAX_ID_BYTES} bytes or a number; leave it out to have no answer")]
    Id,
    /// Parameters that are neither a list nor an object.
    #[error("`params` is a list or an object; leave it out where there are none")]
    Params,
    /// No name of a method.
    #[error("a `method` is a name of letters, digits and `_`, `.`, `-`, at most 64")]
    Method,
}

/// Calls that came together.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    calls: Vec<Call<'a>>,
    shape: Shape,
}

/// How the calls came, which is how they go on and are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One, by itself.
    Single,
    /// A list.
    List,
}

/// One call.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// The caller's, as it was written; absent for a notification, which nobody answers.
    pub(super) id: Option<&'a str>,
    /// What is called.
    pub(super) method: Method,
    params: Option<&'a str>,
}

/// A call as it comes. A key that it does not know, or that is there twice, is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    #[serde(borrow)]
    jsonrpc: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
}

/// A value that is there, `null` too.
pub(super) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> Batch<'a> {
    /// Reads a body of at most so many calls.
    pub(super) fn parse(unverified: &'a str, most: usize) -> Result<Self, Bad> {
        unique::check(unverified).map_err(|found| match found {
            unique::Found::Twice => Bad::Twice,
            unique::Found::Malformed(why) => Bad::Form(why),
        })?;
        if !unverified.trim_start().starts_with('[') {
            return Ok(Self { calls: vec![Call::parse(unverified)?], shape: Shape::Single });
        }
        let parts: Vec<&'a RawValue> = serde_json::from_str(unverified).map_err(form)?;
        if parts.is_empty() {
            return Err(Bad::Empty);
        }
        if parts.len() > most {
            return Err(Bad::TooMany(most));
        }
        let calls: Result<Vec<_>, Bad> = parts.into_iter().map(|part| Call::parse(part.get())).collect();
        Ok(Self { calls: calls?, shape: Shape::List })
    }

    /// All of them.
    pub(super) fn calls(&self) -> &[Call<'a>] {
        &self.calls
    }

    /// How they came.
    pub(super) const fn shape(&self) -> Shape {
        self.shape
    }

    /// Whether anything is to be answered.
    pub(super) fn is_answered(&self) -> bool {
        self.calls.iter().any(|call| call.id.is_some())
    }

    /// What goes to a provider: the same calls under ids of our own, which are their places.
    pub(super) fn written(&self) -> String {
        let calls: Vec<String> =
            self.calls.iter().enumerate().map(|(place, call)| call.written(place)).collect();
        match self.shape {
            Shape::Single => calls.concat(),
            Shape::List => format!("[{}]", calls.join(",")),
        }
    }
}

fn form(error: serde_json::Error) -> Bad {
    Bad::Form(error.to_string())
}

impl<'a> Call<'a> {
    fn parse(unverified: &'a str) -> Result<Self, Bad> {
        // A list of its values in their order would be read, too.
        if !unverified.trim_start().starts_with('{') {
            return Err(Bad::Form("a call is an object".to_owned()));
        }
        serde_json::from_str::<Wire<'a>>(unverified).map_err(form)?.read()
    }
}

impl<'a> Wire<'a> {
    fn read(self) -> Result<Call<'a>, Bad> {
        if self.jsonrpc != VERSION {
            return Err(Bad::Version);
        }
        let id = self.id.map(RawValue::get);
        if !id.is_none_or(is_id) {
            return Err(Bad::Id);
        }
        let params = self.params.map(RawValue::get);
        if !params.is_none_or(|params| params.starts_with(['[', '{'])) {
            return Err(Bad::Params);
        }
        let method = self.method.parse().map_err(|_| Bad::Method)?;
        Ok(Call { id, method, params })
    }
}

fn is_id(json: &str) -> bool {
    json.len() <= MAX_ID_BYTES && json.starts_with(|first: char| matches!(first, '"' | '-' | '0'..='9'))
}

impl Call<'_> {
    fn written(&self, place: usize) -> String {
        // A method's characters need no escapes.
        let mut text = format!("{{\"jsonrpc\":\"{VERSION}\",\"method\":\"{}\"", self.method);
        if let Some(params) = self.params {
            text += ",\"params\":";
            text += params;
        }
        if self.id.is_some() {
            text += &format!(",\"id\":{place}");
        }
        text + "}"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(body: &str) -> Result<String, Bad> {
        Batch::parse(body, 3).map(|batch| batch.written())
    }

    #[test]
    fn calls_go_on_under_ids_of_our_own() {
        for (body, expected) in [
            (
                r#"{"jsonrpc":"2.0","id":"a","method":"eth_call","params":[{"to":"0x1"}, 18446744073709551616]}"#,
                r#"{"jsonrpc":"2.0","method":"eth_call","params":[{"to":"0x1"}, 18446744073709551616],"id":0}"#,
            ),
            (
                r#" [{"method":"a_b","jsonrpc":"2.0","id":7},{"jsonrpc":"2.0","method":"c"}]"#,
                r#"[{"jsonrpc":"2.0","method":"a_b","id":0},{"jsonrpc":"2.0","method":"c"}]"#,
            ),
            // Spelled otherwise, and one method all the same.
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"eth\u005fsend"}"#,
                r#"{"jsonrpc":"2.0","method":"eth_send","id":0}"#,
            ),
        ] {
            assert_eq!(written(body).unwrap(), expected);
        }
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        let form =
            |body: &str| assert!(matches!(written(body), Err(Bad::Form(_))), "{body}: {:?}", written(body));
        for (body, bad) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#, Bad::Twice),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","m\u0065thod":"b"}"#, Bad::Twice),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","params":[{"to":1,"to":2}]}"#, Bad::Twice),
            (r#"[{"jsonrpc":"2.0","id":1,"id":2,"method":"a"}]"#, Bad::Twice),
            ("[]", Bad::Empty),
            (r#"{"jsonrpc":"1.0","id":1,"method":"a"}"#, Bad::Version),
            (r#"{"jsonrpc":"2.0","id":null,"method":"a"}"#, Bad::Id),
            (r#"{"jsonrpc":"2.0","id":[1],"method":"a"}"#, Bad::Id),
            (r#"{"jsonrpc":"2.0","id":true,"method":"a"}"#, Bad::Id),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","params":null}"#, Bad::Params),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","params":"x"}"#, Bad::Params),
            (r#"{"jsonrpc":"2.0","id":1,"method":""}"#, Bad::Method),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a b"}"#, Bad::Method),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a\u0000"}"#, Bad::Method),
        ] {
            assert_eq!(written(body), Err(bad), "{body}");
        }
        let call = r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#;
        assert_eq!(written(&format!("[{}]", [call; 4].join(","))), Err(Bad::TooMany(3)));
        let long = format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"a"}}"#, "x".repeat(MAX_ID_BYTES));
        assert_eq!(written(&long), Err(Bad::Id));
        form("");
        form("7");
        form(r#"{"jsonrpc":"2.0","id":1}"#);
        form(r#"{"jsonrpc":"2.0","id":1,"method":"a","more":1}"#);
        form(r#"{"jsonrpc":"2.0","id":1,"method":"a"} {}"#);
        form(r#"[[{"jsonrpc":"2.0","id":1,"method":"a"}]]"#);
        form(r#"[["2.0", 1, "a", []]]"#);
        form(&format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"a","params":{}1{}}}"#,
            "[".repeat(200),
            "]".repeat(200)
        ));
    }
}
