//! Public keys, by `kid`.

use std::collections::HashMap;

use chrono::Utc;
use jsonwebtoken::{
    DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, JwkSet},
};
use serde::Deserialize;

use crate::certificate::{CertifiedKey, Root};

/// The public keys of one issuer. Only ES256 keys on P-256 with a `kid` are taken; anything else in
/// a JWKS is left out, so that a key of another kind can't be used by mistake.
#[derive(Clone, Default)]
pub struct KeySet(HashMap<String, Known>);

#[derive(Clone)]
struct Known {
    key: DecodingKey,
    /// Not believed from then on, in seconds since 1970; `None` where nobody certifies keys.
    until: Option<i64>,
}

/// The member of a JWK that holds its certificate.
pub const CERTIFICATE_MEMBER: &str = "trace_certificate";

/// What is read of a JWKS whose keys have to be certified: nothing but the certificates.
#[derive(Deserialize)]
struct Certificates {
    keys: Vec<Certificate>,
}

#[derive(Deserialize)]
struct Certificate {
    #[serde(default)]
    trace_certificate: Option<String>,
}

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
    /// No key that the root of trust certifies.
    #[error("the key set has no key that the root of trust certifies now{}", .0.map_or_else(String::new, |why| format!(": {why}")))]
    Uncertified(Option<&'static str>),
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
            if keys.insert(kid.clone(), Known { key, until: None }).is_some() {
                return Err(Error::Duplicate(kid));
            }
        }
        if keys.is_empty() { Err(Error::Empty) } else { Ok(Self(keys)) }
    }

    /// Reads a JWKS document from wherever: of its keys those are taken that `root` certifies for `issuer`, each
    /// as its certificate says and until its time is up.
    ///
    /// # Errors
    /// When it is not a JWKS, or none of its keys is certified.
    pub fn from_certified_jwks(json: &str, root: &Root, issuer: &str) -> Result<Self, Error> {
        let Certificates { keys } = serde_json::from_str(json)?;
        if keys.len() > MAX_KEYS {
            return Err(Error::TooMany);
        }
        Self::certified(keys.iter().filter_map(|key| key.trace_certificate.as_deref()), root, issuer)
    }

    /// The keys of certificates; those that are not believed are left out.
    ///
    /// # Errors
    /// When none is believed.
    pub fn certified<'c>(
        certificates: impl IntoIterator<Item = &'c str>,
        root: &Root,
        issuer: &str,
    ) -> Result<Self, Error> {
        let (mut keys, mut why) = (HashMap::new(), None);
        for unverified in certificates {
            match CertifiedKey::verify(unverified, root, issuer) {
                Ok(certified) => {
                    let claims = certified.claims();
                    let Some(key) = certified.decoding_key() else { continue };
                    keys.insert(claims.sub.to_string(), Known { key, until: Some(claims.exp) });
                }
                Err(crate::certificate::Error::Certificate(reason)) => why = Some(reason),
                Err(crate::certificate::Error::Root) => {}
            }
        }
        if keys.is_empty() { Err(Error::Uncertified(why)) } else { Ok(Self(keys)) }
    }

    pub(crate) fn get(&self, kid: &str) -> Option<&DecodingKey> {
        let known = self.0.get(kid)?;
        known.until.is_none_or(|until| Utc::now().timestamp() < until).then_some(&known.key)
    }

    /// Whether a key of this id is there.
    #[must_use]
    pub fn has(&self, kid: &str) -> bool {
        self.0.contains_key(kid)
    }
}
