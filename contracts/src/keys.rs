//! Public keys, by `kid`.

use std::collections::HashMap;

use jsonwebtoken::{
    DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, JwkSet},
};

/// The public keys of one issuer. Only ES256 keys on P-256 with a `kid` are taken; anything else in
/// a JWKS is left out, so that a key of another kind can't be used by mistake.
#[derive(Clone, Default)]
pub struct KeySet(HashMap<String, DecodingKey>);

/// More keys than an issuer in the middle of a rotation has.
const MAX_KEYS: usize = 32;

/// Why a JWKS was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a JWKS.
    #[error("the key set is not a JWKS: {0}")]
    Json(#[from] serde_json::Error),
    /// Two keys with one `kid`.
    #[error("the key set has the key id `{0}` twice")]
    Duplicate(String),
    /// No key that can be used.
    #[error("the key set has no ES256 key with a key id")]
    Empty,
    /// Too many keys.
    #[error("the key set has more than {MAX_KEYS} keys")]
    TooMany,
}

impl KeySet {
    /// Reads a JWKS document.
    ///
    /// # Errors
    /// When it is not one, or holds no usable key.
    pub fn from_jwks(json: &str) -> Result<Self, Error> {
        let jwks: JwkSet = serde_json::from_str(json)?;
        if jwks.keys.len() > MAX_KEYS {
            return Err(Error::TooMany);
        }
        let mut keys = HashMap::new();
        for jwk in &jwks.keys {
            let AlgorithmParameters::EllipticCurve(parameters) = &jwk.algorithm else { continue };
            let Some(kid) = jwk.common.key_id.clone() else { continue };
            if parameters.curve != EllipticCurve::P256 {
                continue;
            }
            let Ok(key) = DecodingKey::from_jwk(jwk) else { continue };
            if keys.insert(kid.clone(), key).is_some() {
                return Err(Error::Duplicate(kid));
            }
        }
        if keys.is_empty() { Err(Error::Empty) } else { Ok(Self(keys)) }
    }

    pub(crate) fn get(&self, kid: &str) -> Option<&DecodingKey> {
        self.0.get(kid)
    }

    /// Whether a key of this id is there.
    #[must_use]
    pub fn has(&self, kid: &str) -> bool {
        self.0.contains_key(kid)
    }
}
