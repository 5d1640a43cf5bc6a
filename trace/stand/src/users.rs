//! An OIDC issuer: it signs what it is told, and serves its public keys.

use std::path::{Path, PathBuf};

use axum::{Router, routing::get};
use chrono::Utc;
use tokio::net::TcpListener;
use trace_contracts::{
    Role,
    token::{USER_AUDIENCE, USER_TYPES, UserClaims},
};
use trace_dispatcher::keys::SigningKey;

/// `iss` of its tokens.
pub const ISSUER: &str = "https://users.stand";

/// Signs users' tokens.
pub struct Issuer {
    key: SigningKey,
    jwks_file: PathBuf,
    jwks_url: String,
}

impl Issuer {
    /// Starts one with its key in `folder`.
    ///
    /// # Errors
    /// When the key can't be made or no port is free.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let key = SigningKey::open(folder)?;
        let jwks_file = folder.join("jwks.json");
        std::fs::write(&jwks_file, key.jwks())?;
        let jwks = key.jwks().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let jwks_url = format!("http://{}/jwks.json", listener.local_addr()?);
        let router = Router::new().route("/jwks.json", get(move || async move { jwks }));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { key, jwks_file, jwks_url })
    }

    /// Where its public keys lie.
    #[must_use]
    pub fn jwks_file(&self) -> &Path {
        &self.jwks_file
    }

    /// Where it serves them.
    #[must_use]
    pub fn jwks_url(&self) -> &str {
        &self.jwks_url
    }

    /// The token of a user of the org `main`.
    pub fn token(&self, user: &str, role: Role) -> anyhow::Result<String> {
        let now = Utc::now().timestamp();
        let claims = UserClaims {
            iss: ISSUER.to_owned(),
            aud: USER_AUDIENCE.to_owned(),
            sub: user.to_owned(),
            email: None,
            org: "main".to_owned(),
            role,
            iat: now,
            nbf: Some(now),
            exp: now + 3600,
        };
        Ok(self.key.token(USER_TYPES[0], &claims)?)
    }
}
