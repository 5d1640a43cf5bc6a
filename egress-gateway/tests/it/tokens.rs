//! Real ES256 tokens, and the key set that verifies them.

use std::sync::LazyLock;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::Utc;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use trace_contracts::{
    AttemptId, Audience, EgressGrant, Grants, OrgId, TaskId,
    grant::Budgets,
    token::{CAPABILITY_TYPE, CapabilityClaims},
};
use uuid::Uuid;

pub const ISSUER: &str = "https://trace.test";

struct Key {
    encoding: EncodingKey,
    jwks: Value,
}

static KEY: LazyLock<Key> = LazyLock::new(key);
static FOREIGN: LazyLock<Key> = LazyLock::new(key);

fn key() -> Key {
    let document =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref()).unwrap();
    let point = pair.public_key().as_ref();
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
    let jwk = json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "k1", "x": x, "y": y});
    Key { encoding: EncodingKey::from_ec_der(document.as_ref()), jwks: json!({ "keys": [jwk] }) }
}

pub fn jwks() -> Value {
    KEY.jwks.clone()
}

/// Claims of attempt `attempt` of org 1, for the gateway.
pub fn claims(attempt: i64, egress: Vec<EgressGrant>) -> CapabilityClaims {
    let now = Utc::now().timestamp();
    CapabilityClaims {
        iss: ISSUER.to_owned(),
        aud: Audience::Egress,
        sub: TaskId::from_db((1 << 20) + 7),
        attempt: AttemptId::from_db(attempt),
        org: OrgId::from_db(1),
        jti: Uuid::new_v4(),
        iat: now,
        nbf: now,
        exp: now + 300,
        grants: Grants {
            inputs: std::collections::BTreeMap::new(),
            output: "s3://trace/data/o1/r1/t7/a1/out/".parse().unwrap(),
            scratch: "s3://trace/data/o1/r1/t7/a1/scratch/".parse().unwrap(),
            egress,
            budgets: Budgets::default(),
        },
    }
}

pub fn capability(claims: &CapabilityClaims) -> String {
    sign(&KEY, CAPABILITY_TYPE, claims)
}

/// Signed by a key that is not the issuer's, under its key id.
pub fn forged(claims: &CapabilityClaims) -> String {
    sign(&FOREIGN, CAPABILITY_TYPE, claims)
}

/// Of the type of users' tokens.
pub fn of_users_type(claims: &CapabilityClaims) -> String {
    sign(&KEY, "JWT", claims)
}

fn sign(key: &Key, typ: &str, claims: &CapabilityClaims) -> String {
    let mut header = Header::new(Algorithm::ES256);
    header.typ = Some(typ.to_owned());
    header.kid = Some("k1".to_owned());
    jsonwebtoken::encode(&header, claims, &key.encoding).unwrap()
}
