//! Parts of a request's address and headers, parsed before a handler sees them.

use std::str::FromStr;

use axum::{
    extract::{FromRequestParts, Path, Query},
    http::{HeaderMap, request::Parts},
};
use serde::{Deserialize, de::DeserializeOwned};
use trace_contracts::{
    AttemptId, EgressRuleId, ErrorCode, KeyId, Name, RunId, Sha256, TaskId, UserId,
    wire::{
        authority::{REASON_CHARS, ReasonRequest},
        header::IDEMPOTENCY_KEY,
    },
};
use trace_plane::{Refusal, Reply};

use super::problem::not_found;

/// Items of a list, unless asked otherwise and at most.
const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1000;
/// A longer key is no key.
const MAX_KEY_BYTES: usize = 128;

/// What an address may name.
pub(super) trait Named: FromStr {
    /// What it is, for people.
    const WHAT: &'static str;
}

macro_rules! named {
    ($($name:ident $what:literal)*) => {$(
        impl Named for $name {
            const WHAT: &'static str = $what;
        }
    )*};
}

named! { RunId "run" TaskId "task" Name "DAG or dataset" Sha256 "blob" KeyId "key" UserId "user" EgressRuleId "egress rule" }

/// The one thing that an address names. What can't be an id is not found, like an id of nothing.
#[derive(Debug)]
pub(super) struct Id<T>(pub(super) T);

impl<T: Named, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Ok(Path(unverified)) = Path::<String>::from_request_parts(parts, state).await else {
            return Err(not_found(T::WHAT));
        };
        unverified.parse().map(Self).map_err(|_| not_found(T::WHAT))
    }
}

/// The parameters after the `?`. Those that a route does not know are refused.
#[derive(Debug)]
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(params)| Self(params)).map_err(|rejection| {
            let why: String = rejection.body_text().chars().filter(|c| !c.is_control()).take(300).collect();
            Refusal::new(
                ErrorCode::BadRequest,
                format!("the parameters of this address can't be read: {why}"),
            )
        })
    }
}

/// Which part of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page<T> {
    /// At most this many.
    limit: Option<u32>,
    /// Only what comes after this one in the list: the last one of the page before.
    pub(super) after: Option<T>,
}

impl<T> Page<T> {
    /// At most this many.
    pub(super) fn limit(&self) -> Reply<i64> {
        limit(self.limit)
    }
}

/// At most this many items of a list.
///
/// # Errors
/// `bad_request` when it is none or too many.
pub(super) fn limit(asked: Option<u32>) -> Reply<i64> {
    match asked.unwrap_or(DEFAULT_LIMIT) {
        limit @ 1..=MAX_LIMIT => Ok(limit.into()),
        _ => Err(Refusal::new(ErrorCode::BadRequest, format!("`limit` is a number from 1 to {MAX_LIMIT}"))),
    }
}

/// The `Idempotency-Key` of a request.
///
/// # Errors
/// `bad_request` when there are several, or it is no short visible text.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Reply<Option<&str>> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let (value, None) = (values.next(), values.next()) else { return Err(bad_key()) };
    let Some(value) = value else { return Ok(None) };
    let key = value.to_str().map_err(|_| bad_key())?;
    let visible = key.bytes().all(|byte| byte.is_ascii_graphic());
    if visible && (1..=MAX_KEY_BYTES).contains(&key.len()) { Ok(Some(key)) } else { Err(bad_key()) }
}

/// The reason that somebody gives for what they do.
///
/// # Errors
/// `bad_request` when it is empty, too long, or more than plain text.
pub(super) fn reason(request: &ReasonRequest) -> Reply<&str> {
    let reason = request.reason.trim();
    let is_plain = !reason.is_empty() && !reason.contains(char::is_control);
    if is_plain && reason.chars().count() <= REASON_CHARS {
        return Ok(reason);
    }
    let detail = format!("say why in `reason`: one line of 1 to {REASON_CHARS} characters");
    Err(Refusal::new(ErrorCode::BadRequest, detail))
}

fn bad_key() -> Refusal {
    Refusal::new(
        ErrorCode::BadRequest,
        format!("`Idempotency-Key` is sent once, with 1 to {MAX_KEY_BYTES} visible ASCII characters"),
    )
}

/// Which lines of which log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogParams {
    /// This attempt's; absent: the latest one's.
    pub(super) attempt: Option<AttemptId>,
    /// Only lines with a larger number.
    pub(super) after: Option<u64>,
    /// Wait this long for a line, in milliseconds.
    pub(super) wait_ms: Option<u64>,
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, Request};

    use super::*;

    async fn page(uri: &str) -> Result<(i64, Option<TaskId>), ErrorCode> {
        let (mut parts, ()) = Request::builder().uri(uri).body(()).unwrap().into_parts();
        let params = Params::<Page<TaskId>>::from_request_parts(&mut parts, &()).await;
        let Params(page) = params.map_err(|refusal| refusal.code())?;
        Ok((page.limit().map_err(|refusal| refusal.code())?, page.after))
    }

    #[tokio::test]
    async fn lists_are_bounded_and_parameters_are_known() {
        assert_eq!(page("/x").await, Ok((100, None)));
        assert_eq!(page("/x?limit=1000&after=t1.7").await, Ok((1000, Some(TaskId::from_db((1 << 20) + 7)))));
        for bad in
            ["?limit=0", "?limit=1001", "?limit=-1", "?limit=x", "?after=7", "?after=t7", "?befor=t1.7"]
        {
            assert_eq!(page(&format!("/x{bad}")).await, Err(ErrorCode::BadRequest), "{bad}");
        }
    }

    #[test]
    fn an_idempotency_key_is_one_short_text() {
        let mut headers = HeaderMap::new();
        assert_eq!(idempotency_key(&headers).unwrap(), None);
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_static("run-2013"));
        assert_eq!(idempotency_key(&headers).unwrap(), Some("run-2013"));
        headers.append(IDEMPOTENCY_KEY, HeaderValue::from_static("again"));
        assert!(idempotency_key(&headers).is_err());
        for bad in ["", "a b", &"x".repeat(129)] {
            headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_str(bad).unwrap());
            assert!(idempotency_key(&headers).is_err(), "{bad:?} must be refused");
        }
    }
}
