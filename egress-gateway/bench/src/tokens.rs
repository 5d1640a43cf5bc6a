//! A capability as the dispatcher would sign it, and the key set that verifies it.

use std::collections::BTreeMap;

use anyhow::anyhow;
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::Utc;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use trace_contracts::{
    AttemptId, Audience, EgressGrant, Grants, OrgId,
    grant::Budgets,
    token::{CAPABILITY_TYPE, CapabilityClaims},
};
use uuid::Uuid;

/// Who signs.
pub const ISSUER: &str = "https://trace.bench";
/// Longer than the benchmark takes.
const LIFETIME_SECONDS: i64 = 3600;

/// An ES256 key.
pub struct Key {
    encoding: EncodingKey,
    /// What verifiers fetch.
    pub jwks: Value,
}

impl Key {
    /// A fresh one.
    pub fn new() -> anyhow::Result<Self> {
        let refused = |_| anyhow!("no key can be made");
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).map_err(refused)?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref())?;
        let point = pair.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        let jwk =
            json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "k1", "x": x, "y": y});
        Ok(Self { encoding: EncodingKey::from_ec_der(document.as_ref()), jwks: json!({ "keys": [jwk] }) })
    }

    /// A capability for the gateway with these grants.
    pub fn sign(&self, egress: Vec<EgressGrant>) -> anyhow::Result<String> {
        let now = Utc::now().timestamp();
        let claims = CapabilityClaims {
            iss: ISSUER.to_owned(),
            aud: Audience::Egress,
            sub: "t1.0".parse()?,
            attempt: AttemptId::from_db(1),
            org: OrgId::from_db(1),
            jti: Uuid::new_v4(),
            iat: now,
            nbf: now,
            exp: now + LIFETIME_SECONDS,
            grants: Grants {
                inputs: BTreeMap::new(),
                output: "s3://trace/data/o1/r1/t1/a1/out/".parse()?,
                scratch: "s3://trace/data/o1/r1/t1/a1/scratch/".parse()?,
                egress,
                budgets: Budgets::default(),
            },
        };
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(CAPABILITY_TYPE.to_owned());
        header.kid = Some("k1".to_owned());
        Ok(jsonwebtoken::encode(&header, &claims, &self.encoding)?)
    }
}
