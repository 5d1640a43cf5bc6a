//! An OIDC issuer: it signs what a test says.

use std::path::Path;

use serde_json::{Value, json};
use trace_contracts::Role;
use trace_dispatcher::keys::SigningKey;

/// The issuer's name.
pub const ISSUER: &str = "https://id.example";

/// Signs users' tokens.
#[derive(Debug)]
pub struct Issuer(SigningKey);

impl Issuer {
    /// A new issuer with its key in `folder`.
    pub fn new(folder: &Path) -> Self {
        Self(SigningKey::open(folder).expect("a key is made"))
    }

    /// Its public keys.
    pub fn jwks(&self) -> &str {
        self.0.jwks()
    }

    /// The token of a user.
    pub fn token(&self, user: &str, org: &str, role: Role) -> String {
        self.sign("JWT", &Self::claims(user, org, role))
    }

    /// What a user's token says.
    pub fn claims(user: &str, org: &str, role: Role) -> Value {
        let now = chrono::Utc::now().timestamp();
        json!({
            "iss": ISSUER, "aud": "trace", "sub": user, "email": format!("{user}@example.org"),
            "custom:org_id": org, "custom:role": role, "iat": now, "nbf": now, "exp": now + 600,
        })
    }

    /// Signs claims as they are.
    pub fn sign(&self, kind: &str, claims: &Value) -> String {
        self.0.token(kind, claims).expect("claims are signed")
    }
}
