//! Looks into a token.
//!
//! Decoding proves nothing: what a token says is shown as its claim. It is verified with the keys
//! that the platform publishes, never with keys from an address that the token itself names.

mod inspection;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trace_contracts::{
    Audience, Capability, UserIdentity,
    keys::KeySet,
    token::{self, CAPABILITY_TYPE, MAX_TOKEN_BYTES, USER_TYPES},
};

pub use self::inspection::Inspection;
use trace_plane::Trust;

use crate::{client, connection::Address};

/// Where a platform publishes the keys that sign capabilities.
const CAPABILITY_KEYS: [&str; 2] = [".well-known", "jwks.json"];
/// Where `trace up` publishes the keys of its own issuer of user tokens.
pub const USER_KEYS: [&str; 2] = ["issuer", "jwks.json"];

/// Why a text is not even the form of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not three parts of JSON.
    #[error("this is not a JWT: expected three parts in base64, joined by `.`")]
    Form,
    /// Longer than any token of ours.
    #[error("this is longer than any token of the platform")]
    TooLong,
}

/// What a token says, before anything is proven.
#[derive(Debug, Clone)]
pub struct Unverified {
    raw: String,
    header: Header,
    claims: Map<String, Value>,
}

#[derive(Debug, Clone, Deserialize)]
struct Header {
    typ: Option<String>,
    kid: Option<String>,
}

/// Whether the platform stands behind a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The platform signed it and it holds now.
    Verified,
    /// The platform's keys say that it is not good.
    NotGood,
    /// There are no keys to verify it with.
    NotVerified,
}

/// A verdict and what it rests on.
#[derive(Debug, Clone, Serialize)]
pub struct Verification {
    /// The verdict.
    pub verdict: Verdict,
    /// What it rests on.
    pub detail: String,
}

impl Unverified {
    /// Takes a token apart.
    ///
    /// # Errors
    /// When it is not one by its form.
    pub fn decode(raw: &str) -> Result<Self, Error> {
        if raw.len() > MAX_TOKEN_BYTES {
            return Err(Error::TooLong);
        }
        let parts: Vec<&str> = raw.split('.').collect();
        let [header, claims, _signature] = parts.as_slice() else { return Err(Error::Form) };
        Ok(Self { header: part(header)?, claims: part(claims)?, raw: raw.to_owned() })
    }

    /// Verifies it with the keys that the platform at `address` publishes.
    pub async fn verify(&self, address: &Address, trust: &Trust) -> Verification {
        let path = match self.kind() {
            "capability" => CAPABILITY_KEYS,
            "user" => USER_KEYS,
            _ => return Verification::not_verified("it is of no kind that the platform signs".to_owned()),
        };
        match client::public_document(address, trust, &path).await {
            Ok(jwks) => self.verify_with(&jwks, address.join(&path).as_str()),
            Err(error) => Verification::not_verified(format!("its issuer's keys can't be had: {error}")),
        }
    }

    fn verify_with(&self, jwks: &str, origin: &str) -> Verification {
        let keys = match KeySet::from_jwks(jwks) {
            Ok(keys) => keys,
            Err(error) => return Verification::not_verified(format!("{origin}: {error}")),
        };
        match self.check(&keys) {
            Ok(()) => {
                Verification { verdict: Verdict::Verified, detail: format!("with the keys of {origin}") }
            }
            Err(token::Error::UnknownKey) => {
                Verification::not_verified(format!("its key is none of those at {origin}: another issuer's?"))
            }
            Err(error) => Verification { verdict: Verdict::NotGood, detail: error.to_string() },
        }
    }

    /// Issuer and audience are taken as the token has them: what is asked is whether it was signed.
    fn check(&self, keys: &KeySet) -> Result<(), token::Error> {
        let issuer = self.text("iss").ok_or(token::Error::Claims)?;
        let audience = self.text("aud").ok_or(token::Error::Claims)?;
        if self.kind() == "capability" {
            Capability::verify(&self.raw, keys, issuer, audience.parse::<Audience>()?).map(drop)
        } else {
            UserIdentity::verify(&self.raw, keys, issuer, audience).map(drop)
        }
    }

    fn kind(&self) -> &'static str {
        match self.header.typ.as_deref() {
            Some(typ) if typ == CAPABILITY_TYPE => "capability",
            Some(typ) if USER_TYPES.contains(&typ) => "user",
            _ => "unknown",
        }
    }

    fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }
}

fn part<T: for<'de> Deserialize<'de>>(unverified: &str) -> Result<T, Error> {
    let bytes = URL_SAFE_NO_PAD.decode(unverified).map_err(|_| Error::Form)?;
    serde_json::from_slice(&bytes).map_err(|_| Error::Form)
}

impl Verification {
    /// No keys to verify with, and why.
    #[must_use]
    pub const fn not_verified(detail: String) -> Self {
        Self { verdict: Verdict::NotVerified, detail }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    pub(super) fn token(header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.c2ln", part(header), part(claims))
    }

    #[test]
    fn what_is_not_a_token_is_told_so() {
        for bad in ["", "a.b", "a.b.c", "e30.e30", "W10.W10.x", "...."] {
            assert_eq!(Unverified::decode(bad).unwrap_err(), Error::Form, "{bad:?}");
        }
        assert_eq!(Unverified::decode(&"a".repeat(MAX_TOKEN_BYTES + 1)).unwrap_err(), Error::TooLong);
    }

    #[test]
    fn a_forged_token_is_not_good() {
        let header = json!({"typ": "JWT", "alg": "ES256", "kid": "k1"});
        let claims = json!({"iss": "i", "aud": "trace", "sub": "u", "exp": 4_000_000_000_i64,
                            "iat": 0, "custom:org_id": "main", "custom:role": "admin"});
        let unverified = Unverified::decode(&token(&header, &claims)).unwrap();
        let jwks = |kid: &str| {
            json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": kid,
                             "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
                             "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]})
            .to_string()
        };
        assert_eq!(unverified.verify_with(&jwks("k1"), "here").verdict, Verdict::NotGood);
        assert_eq!(unverified.verify_with(&jwks("k2"), "here").verdict, Verdict::NotVerified);
        assert_eq!(unverified.verify_with("{}", "here").verdict, Verdict::NotVerified);
    }
}
