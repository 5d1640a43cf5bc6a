//! The right token for each plane, renewed before it expires.

use std::{
    cell::RefCell,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, de::DeserializeOwned};
use ureq::http::Method;

use crate::{
    Error, Plane, Result, Secret,
    config::Dispatcher,
    http::{Answer, Http, Request},
    time::parse_utc,
};

/// A token is renewed when less than this is left of it.
const RENEW_BEFORE: Duration = Duration::from_secs(30);

/// The dispatcher's task API and the tokens it gives.
pub struct Tokens {
    url: String,
    capability: RefCell<Token>,
    query: RefCell<Option<Token>>,
}

#[derive(Clone)]
struct Token {
    text: Secret,
    /// Unknown when the token does not tell; it is used until it is refused then.
    expires_at: Option<SystemTime>,
}

#[derive(Deserialize)]
struct TokenReply {
    token: Secret,
    expires_at: String,
}

impl Tokens {
    pub fn new(dispatcher: Dispatcher) -> Self {
        let expires_at = expiry_of(dispatcher.capability.expose());
        let capability = Token { text: dispatcher.capability, expires_at };
        Self { url: dispatcher.url, capability: RefCell::new(capability), query: RefCell::new(None) }
    }

    /// The token for the query service.
    pub fn query(&self, http: &Http) -> Result<Secret> {
        if let Some(token) = self.query.borrow().as_ref().filter(|token| token.is_fresh()) {
            return Ok(token.text.clone());
        }
        let token = self.exchange(http, "trace:query")?;
        Ok(self.query.borrow_mut().insert(token).text.clone())
    }

    /// Asks the dispatcher with a token for it.
    pub fn ask(&self, http: &Http, method: Method, path: &str, body: &[u8]) -> Result<Answer> {
        let stale = !self.capability.borrow().is_fresh();
        if stale {
            let renewed = self.exchange(http, "trace:dispatcher")?;
            *self.capability.borrow_mut() = renewed;
        }
        let token = self.capability.borrow().text.clone();
        http.ask(&Request {
            plane: Plane::Dispatcher,
            method,
            url: format!("{}/v1/task/{path}", self.url),
            token: Some(&token),
            content_type: if path == "checkpoint" { "application/octet-stream" } else { "application/json" },
            body,
        })
    }

    fn exchange(&self, http: &Http, audience: &str) -> Result<Token> {
        let token = self.capability.borrow().text.clone();
        let body = serde_json::json!({ "audience": audience }).to_string();
        let answer = http.ask(&Request {
            plane: Plane::Dispatcher,
            method: Method::POST,
            url: format!("{}/v1/task/token", self.url),
            token: Some(&token),
            content_type: "application/json",
            body: body.as_bytes(),
        })?;
        let TokenReply { token: text, expires_at } = parse(&answer.body)?;
        Ok(Token { text, expires_at: parse_utc(&expires_at) })
    }
}

impl Token {
    fn is_fresh(&self) -> bool {
        self.expires_at.is_none_or(|end| end > SystemTime::now() + RENEW_BEFORE)
    }
}

/// When a token expires by its own word, which is no proof of anything and needs none here.
fn expiry_of(unverified: &str) -> Option<SystemTime> {
    #[derive(Deserialize)]
    struct Claims {
        exp: u64,
    }
    let payload = base64url(unverified.split('.').nth(1)?)?;
    let Claims { exp } = serde_json::from_slice(&payload).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(exp))
}

/// What base64url without padding stands for.
fn base64url(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for c in text.bytes() {
        let six = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        (bits, held) = ((bits << 6 | u32::from(six)) & 0xFFFF, held + 6);
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xFF) as u8);
        }
    }
    Some(bytes)
}

/// Reads an answer of the dispatcher.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body)
        .map_err(|error| Error::Unreachable { plane: Plane::Dispatcher, detail: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_when_it_expires() {
        assert_eq!(base64url("aGk_fn5-").as_deref(), Some(&b"hi?~~~"[..]));
        assert_eq!(base64url("a+b"), None);
        // {"exp":4102444800}
        let token = "e30.eyJleHAiOjQxMDI0NDQ4MDB9.c2ln";
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(4_102_444_800);
        assert_eq!(expiry_of(token), Some(end));
        assert_eq!(expiry_of("opaque"), None);
    }
}
