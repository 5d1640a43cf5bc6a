//! Signs capabilities.

use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use trace_contracts::{Audience, Capability, keys::KeySet};

/// A key of this id.
pub struct Signer {
    kid: &'static str,
    pair: EcdsaKeyPair,
}

impl Signer {
    pub fn new(kid: &'static str) -> Self {
        Self { kid, pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap() }
    }

    pub fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "kid": self.kid,
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)})
    }

    /// A token for the query service.
    pub fn token(&self, attempt: i64) -> String {
        let key = jsonwebtoken::EncodingKey::from_ec_der(self.pair.to_pkcs8v1().unwrap().as_ref());
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
        header.kid = Some(self.kid.to_owned());
        header.typ = Some("trace-cap+jwt".to_owned());
        let now = chrono::Utc::now().timestamp();
        let claims = json!({
            "iss": "i", "aud": "trace:query", "sub": "t1.0", "attempt": format!("a{attempt}"), "org": "o1",
            "jti": "6f8b8a0e-3a0e-4d3a-9f4c-0d9f2f8f2a11", "iat": now, "nbf": now, "exp": now + 300,
            "grants": {"inputs": {}, "output": "s3://trace/o/", "scratch": "s3://trace/s/"},
        });
        jsonwebtoken::encode(&header, &claims, &key).unwrap()
    }

    pub fn capability(&self, attempt: i64) -> Arc<Capability> {
        let keys = KeySet::from_jwks(&json!({ "keys": [self.jwk()] }).to_string()).unwrap();
        Arc::new(Capability::verify(&self.token(attempt), &keys, "i", Audience::Query).unwrap())
    }
}
