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
    AttemptId, Audience, Grants, OrgId, Role, TaskId,
    token::{CAPABILITY_TYPE, CapabilityClaims, UserClaims},
};
use uuid::Uuid;

pub const ISSUER: &str = "https://trace.test";

struct Key {
    encoding: EncodingKey,
    jwks: Value,
}

static KEY: LazyLock<Key> = LazyLock::new(|| key("k1"));
static FOREIGN: LazyLock<Key> = LazyLock::new(|| key("k1"));

fn key(kid: &str) -> Key {
    let document =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref()).unwrap();
    let point = pair.public_key().as_ref();
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
    let jwk = json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid, "x": x, "y": y});
    Key { encoding: EncodingKey::from_ec_der(document.as_ref()), jwks: json!({ "keys": [jwk] }) }
}

pub fn jwks() -> Value {
    KEY.jwks.clone()
}

fn sign(key: &Key, typ: &str, claims: &impl serde::Serialize) -> String {
    let mut header = Header::new(Algorithm::ES256);
    header.typ = Some(typ.to_owned());
    header.kid = Some("k1".to_owned());
    jsonwebtoken::encode(&header, claims, &key.encoding).unwrap()
}

/// Claims of attempt `attempt` of org 1, for the query service.
pub fn claims(attempt: i64, grants: Grants) -> CapabilityClaims {
    let now = Utc::now().timestamp();
    CapabilityClaims {
        iss: ISSUER.to_owned(),
        aud: Audience::Query,
        sub: TaskId::from_db((1 << 20) + 7),
        attempt: AttemptId::from_db(attempt),
        org: OrgId::from_db(1),
        jti: Uuid::new_v4(),
        iat: now,
        nbf: now,
        exp: now + 300,
        grants,
    }
}

pub fn capability(claims: &CapabilityClaims) -> String {
    sign(&KEY, CAPABILITY_TYPE, claims)
}

/// Signed by a key that is not the issuer's, under its key id.
pub fn forged(claims: &CapabilityClaims) -> String {
    sign(&FOREIGN, CAPABILITY_TYPE, claims)
}

pub fn user_claims() -> UserClaims {
    let now = Utc::now().timestamp();
    UserClaims {
        iss: ISSUER.to_owned(),
        aud: "trace".to_owned(),
        sub: "ada".to_owned(),
        email: None,
        org: "main".to_owned(),
        role: Role::Reader,
        iat: now,
        nbf: Some(now),
        exp: now + 300,
    }
}

pub fn user(claims: &UserClaims) -> String {
    sign(&KEY, "JWT", claims)
}
