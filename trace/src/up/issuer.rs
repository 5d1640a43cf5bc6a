//! The issuer of user tokens on one machine: it does what Cognito or another OIDC issuer does for a
//! real installation, with one key file and one admin an org.

use std::{
    io,
    path::{Path, PathBuf},
};

use axum::{Router, http::header::CONTENT_TYPE, routing::get};
use chrono::{TimeDelta, Utc};
use trace_contracts::{
    Name, Role, Secret,
    token::{USER_AUDIENCE, USER_TYPES, UserClaims},
};
use trace_dispatcher::keys::{self, SigningKey};

use crate::connection::write_private;

/// `iss` of its tokens. It does not change with the port, so that users stay the same ones.
pub const ISSUER: &str = "trace-up";
/// Where its public keys are served.
pub const JWKS_PATH: &str = "/issuer/jwks.json";
/// How long a token holds; renewed each day while the platform runs.
const LIFE: TimeDelta = TimeDelta::days(30);

/// Why there are no tokens.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key can't be used.
    #[error(transparent)]
    Key(#[from] keys::Error),
    /// A token can't be signed.
    #[error("a user token could not be signed: {0}")]
    Sign(#[from] keys::SignError),
    /// A file can't be written.
    #[error("{path} can't be written: {source}", path = .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Signs user tokens.
#[derive(Debug)]
pub struct LocalIssuer {
    key: SigningKey,
}

impl LocalIssuer {
    /// Opens the key in `folder`, which is made with it where it is absent.
    ///
    /// # Errors
    /// When somebody else could read the key.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        Ok(Self { key: SigningKey::open(folder)? })
    }

    /// Writes the public keys beside the private one, for services that read them from a file.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn write_jwks(&self, folder: &Path) -> Result<PathBuf, Error> {
        let path = folder.join("jwks.json");
        match write_private(&path, self.key.jwks().as_bytes()) {
            Ok(()) => Ok(path),
            Err(source) => Err(Error::Write { path, source }),
        }
    }

    /// A token for the admin of an org, from now on.
    ///
    /// # Errors
    /// When it can't be signed.
    pub fn admin(&self, org: &Name) -> Result<Secret<String>, Error> {
        let now = Utc::now();
        let claims = UserClaims {
            iss: ISSUER.to_owned(),
            aud: USER_AUDIENCE.to_owned(),
            sub: format!("{org}-admin"),
            email: None,
            org: org.to_string(),
            role: Role::Admin,
            iat: now.timestamp(),
            nbf: Some(now.timestamp()),
            exp: (now + LIFE).timestamp(),
        };
        Ok(Secret::new(self.key.token(USER_TYPES[0], &claims)?))
    }

    /// Writes a new token for the admin of each org (`<org>-admin.jwt`), and answers the first one.
    ///
    /// # Errors
    /// When one can't be signed or written.
    pub fn write_admins(&self, orgs: &[Name], folder: &Path) -> Result<Option<Secret<String>>, Error> {
        let mut first = None;
        for org in orgs {
            let token = self.admin(org)?;
            let path = folder.join(format!("{org}-admin.jwt"));
            if let Err(source) = write_private(&path, token.expose().as_bytes()) {
                return Err(Error::Write { path, source });
            }
            first.get_or_insert(token);
        }
        Ok(first)
    }

    /// Serves the public keys.
    pub fn router(&self) -> Router {
        let jwks = self.key.jwks().to_owned();
        Router::new()
            .route(JWKS_PATH, get(move || async move { ([(CONTENT_TYPE, "application/json")], jwks) }))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt as _};

    use trace_contracts::UserIdentity;

    use super::*;

    #[test]
    fn its_tokens_are_those_of_an_oidc_issuer() {
        let folder = tempfile::tempdir().unwrap();
        let issuer = LocalIssuer::open(&folder.path().join("issuer")).unwrap();
        let orgs: Vec<Name> = vec!["main".parse().unwrap(), "rival".parse().unwrap()];
        let first = issuer.write_admins(&orgs, folder.path()).unwrap().unwrap();

        let path = folder.path().join("main-admin.jwt");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(path).unwrap(), *first.expose());

        let rival = fs::read_to_string(folder.path().join("rival-admin.jwt")).unwrap();
        let keys = issuer.key.key_set().unwrap();
        let user = UserIdentity::verify(&rival, &keys, ISSUER, USER_AUDIENCE).unwrap();
        assert_eq!((user.org_slug(), user.role(), user.subject()), ("rival", Role::Admin, "rival-admin"));
    }

    #[test]
    fn the_path_of_the_keys_is_where_the_command_line_looks() {
        assert_eq!(JWKS_PATH, format!("/{}", crate::token::USER_KEYS.join("/")));
    }
}
