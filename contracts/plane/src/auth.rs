//! From a header to a verified identity.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use http::{HeaderMap, header};
use trace_contracts::{Audience, Capability, ErrorCode, Sha256, UserIdentity, keys::KeySet, token};
use trace_controls::{Protection, stands};

use crate::{KeySource, Refusal, Reply};

/// Tokens remembered at most; past that the memory starts anew.
const REMEMBERED: usize = 10_000;

/// The bearer token of a request. Tokens travel in this header only: never in an address, where
/// they would end in logs.
///
/// # Errors
/// `unauthenticated` when the header is missing, repeated, or of another scheme.
pub fn bearer(headers: &HeaderMap) -> Reply<&str> {
    let refuse = || Refusal::new(ErrorCode::Unauthenticated, "send one header `Authorization: Bearer TOKEN`");
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(refuse()) };
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(refuse)?;
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() { Ok(token) } else { Err(refuse()) }
}

/// Verifies tokens of one issuer. A verified token is remembered by its hash until it expires, so
/// that its signature is checked once.
#[derive(Clone)]
pub struct Verifier {
    keys: KeySource,
    issuer: Arc<str>,
    user_audience: Arc<str>,
    remembered: Arc<Mutex<Remembered>>,
}

type Remembered = HashMap<(Sha256, Audience), Arc<Capability>>;

impl Verifier {
    /// A verifier of what `issuer` signs with the keys of `keys`.
    #[must_use]
    pub fn new(keys: KeySource, issuer: &str) -> Self {
        Self {
            keys,
            issuer: issuer.into(),
            user_audience: token::USER_AUDIENCE.into(),
            remembered: Arc::default(),
        }
    }

    /// The same for user tokens of another audience than [`token::USER_AUDIENCE`].
    #[must_use]
    pub fn with_user_audience(mut self, audience: &str) -> Self {
        self.user_audience = audience.into();
        self
    }

    /// Verifies a capability token for this audience. Whether its attempt lives is another
    /// question: [`Liveness::admit`](crate::Liveness::admit).
    ///
    /// # Errors
    /// `unauthenticated`, `token_expired`, `wrong_audience`, or `unavailable` when there are no keys.
    pub async fn verify_capability(&self, unverified: &str, audience: Audience) -> Reply<Arc<Capability>> {
        if stands(Protection::TokenSize) && unverified.len() > token::MAX_TOKEN_BYTES {
            return Err(token::Error::Malformed.into());
        }
        let hash = (Sha256::of(unverified.as_bytes()), audience);
        if let Some(capability) = self.recall(hash) {
            // A key that is gone has taken what it signed with it.
            if self.keys.keys().await?.has(capability.kid().as_str()) {
                return Ok(capability);
            }
            self.forget(hash);
        }
        let capability = self
            .with_keys(|keys| Capability::verify(unverified, keys, &self.issuer, audience))
            .await
            .map(Arc::new)?;
        self.remember(hash, &capability);
        Ok(capability)
    }

    /// Verifies a user's token.
    ///
    /// # Errors
    /// `unauthenticated`, `token_expired`, `wrong_audience`, or `unavailable` when there are no keys.
    pub async fn verify_user(&self, unverified: &str) -> Reply<UserIdentity> {
        self.with_keys(|keys| UserIdentity::verify(unverified, keys, &self.issuer, &self.user_audience)).await
    }

    async fn with_keys<T>(&self, verify: impl Fn(&KeySet) -> Result<T, token::Error>) -> Reply<T> {
        match verify(&*self.keys.keys().await?) {
            Err(token::Error::UnknownKey) => Ok(verify(&*self.keys.keys_after_unknown().await?)?),
            verdict => Ok(verdict?),
        }
    }

    fn recall(&self, hash: (Sha256, Audience)) -> Option<Arc<Capability>> {
        let mut remembered = self.remembered.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let capability = remembered.get(&hash)?;
        if chrono::Utc::now() < capability.expires_at() {
            return Some(Arc::clone(capability));
        }
        remembered.remove(&hash);
        None
    }

    fn forget(&self, hash: (Sha256, Audience)) {
        self.remembered.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&hash);
    }

    fn remember(&self, hash: (Sha256, Audience), capability: &Arc<Capability>) {
        let mut remembered = self.remembered.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(hash, Arc::clone(capability));
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn exactly_one_bearer_header_is_taken() {
        let mut headers = HeaderMap::new();
        assert!(bearer(&headers).is_err());
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer abc"));
        assert_eq!(bearer(&headers).unwrap(), "abc");
        headers.append(header::AUTHORIZATION, HeaderValue::from_static("Bearer def"));
        assert!(bearer(&headers).is_err(), "two headers are refused");
        for bad in ["Basic abc", "Bearer", "Bearer ", "abc"] {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(bad));
            assert!(bearer(&headers).is_err(), "{bad:?} must be refused");
        }
    }
}
