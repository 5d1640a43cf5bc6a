//! Tokens: what they say, and the only way to believe them.
//!
//! Claims are not proof. [`Capability`] and [`UserIdentity`] have private fields and come out of
//! `verify` alone, which pins the algorithm, the type, the issuer, the audience and the required
//! claims. Whether the attempt behind a capability still lives is asked of the dispatcher; see the
//! liveness client of `trace-plane`.

mod unproven;

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, Validation};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use trace_controls::{Protection, stands};
use uuid::Uuid;

use crate::{AttemptId, Grants, KeyId, OrgId, Role, TaskId, keys::KeySet};

/// Longer tokens are refused before they are looked at; grants that do not fit travel by reference.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Clocks of services may differ by this much.
pub const LEEWAY_SECONDS: u64 = 5;

/// Who may read a capability token. One token has one audience, so that no plane can use what it
/// was shown anywhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Audience {
    /// The dispatcher's task API: the token that a task starts with.
    #[serde(rename = "trace:dispatcher")]
    Dispatcher,
    /// The query service.
    #[serde(rename = "trace:query")]
    Query,
    /// The egress gateway.
    #[serde(rename = "trace:egress")]
    Egress,
}

impl Audience {
    /// The value of `aud`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dispatcher => "trace:dispatcher",
            Self::Query => "trace:query",
            Self::Egress => "trace:egress",
        }
    }
}

/// The `typ` of a capability token (RFC 8725, 3.11), so that a user's token never passes for one.
pub const CAPABILITY_TYPE: &str = "trace-cap+jwt";
/// The `typ` values that a user's token may have.
pub const USER_TYPES: [&str; 2] = ["JWT", "at+jwt"];
/// The `aud` of a user's token, unless configured otherwise.
pub const USER_AUDIENCE: &str = "trace";

/// Why a token was not believed. Never holds the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not a JWT, or too long, or its header says what no token of ours says.
    #[error("the token is not one of ours")]
    Malformed,
    /// Signed by a key that is not known (yet): refresh the keys once, rate-limited, and try again.
    #[error("the token's key is not known")]
    UnknownKey,
    /// The signature is wrong.
    #[error("the token's signature is wrong")]
    Signature,
    /// Past its end.
    #[error("the token has expired")]
    Expired,
    /// Before its start.
    #[error("the token is not valid yet")]
    Immature,
    /// For another audience.
    #[error("the token is for another audience")]
    Audience,
    /// From another issuer.
    #[error("the token is from another issuer")]
    Issuer,
    /// A claim is missing or has the wrong type.
    #[error("a claim of the token is missing or has the wrong type")]
    Claims,
}

/// The claims of a capability token, as signed. Not proof of anything.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapabilityClaims {
    /// Issuer.
    pub iss: String,
    /// The one audience.
    pub aud: Audience,
    /// The task.
    pub sub: TaskId,
    /// The attempt, whose life bounds the token's.
    pub attempt: AttemptId,
    /// The org.
    pub org: OrgId,
    /// The token's own id.
    pub jti: Uuid,
    /// Issued at, in seconds since 1970.
    pub iat: i64,
    /// Not before, in seconds since 1970.
    pub nbf: i64,
    /// Expires, in seconds since 1970.
    pub exp: i64,
    /// What the attempt may do.
    pub grants: Grants,
}

/// A verified capability. Whoever holds one knows that the dispatcher signed it, for this audience,
/// and that it had not expired when it was verified.
#[derive(Debug, Clone)]
pub struct Capability {
    claims: CapabilityClaims,
    kid: KeyId,
}

impl Capability {
    /// Verifies a token.
    ///
    /// # Errors
    /// Says which check failed; see [`Error`].
    pub fn verify(unverified: &str, keys: &KeySet, issuer: &str, audience: Audience) -> Result<Self, Error> {
        let (claims, kid): (CapabilityClaims, String) =
            verify(unverified, keys, issuer, audience.as_str(), &[CAPABILITY_TYPE])?;
        Ok(Self { claims, kid: kid.parse().map_err(|_| Error::Malformed)? })
    }

    /// The key that signed it.
    #[must_use]
    pub const fn kid(&self) -> &KeyId {
        &self.kid
    }

    /// The task.
    #[must_use]
    pub const fn task(&self) -> TaskId {
        self.claims.sub
    }

    /// The attempt.
    #[must_use]
    pub const fn attempt(&self) -> AttemptId {
        self.claims.attempt
    }

    /// The org.
    #[must_use]
    pub const fn org(&self) -> OrgId {
        self.claims.org
    }

    /// The token's own id.
    #[must_use]
    pub const fn jti(&self) -> Uuid {
        self.claims.jti
    }

    /// When it expires.
    #[must_use]
    pub fn expires_at(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.claims.exp, 0).unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// What the attempt may do.
    #[must_use]
    pub const fn grants(&self) -> &Grants {
        &self.claims.grants
    }
}

/// The claims of a user's token (OIDC).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserClaims {
    /// Issuer.
    pub iss: String,
    /// Audience.
    pub aud: String,
    /// The user, as the issuer names them.
    pub sub: String,
    /// Mail address, where the issuer gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The org's slug.
    #[serde(rename = "custom:org_id")]
    pub org: String,
    /// The role.
    #[serde(rename = "custom:role")]
    pub role: Role,
    /// Issued at, in seconds since 1970.
    pub iat: i64,
    /// Not before, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// Expires, in seconds since 1970.
    pub exp: i64,
}

/// A verified user, as the issuer describes them. Whether they are suspended is the dispatcher's to say.
#[derive(Debug, Clone)]
pub struct UserIdentity(UserClaims);

impl UserIdentity {
    /// Verifies a user's token.
    ///
    /// # Errors
    /// Says which check failed; see [`Error`].
    pub fn verify(unverified: &str, keys: &KeySet, issuer: &str, audience: &str) -> Result<Self, Error> {
        let (claims, _kid): (UserClaims, String) = verify(unverified, keys, issuer, audience, &USER_TYPES)?;
        if claims.sub.is_empty() || claims.sub.len() > 256 || claims.org.len() > 256 {
            return Err(Error::Claims);
        }
        Ok(Self(claims))
    }

    /// Issuer.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.0.iss
    }

    /// The user, as the issuer names them.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.0.sub
    }

    /// Mail address, where the issuer gives it.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        self.0.email.as_deref()
    }

    /// The org's slug, as claimed.
    #[must_use]
    pub fn org_slug(&self) -> &str {
        &self.0.org
    }

    /// The role.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.0.role
    }
}

/// The claims, and the id of the key that signed them.
fn verify<C: DeserializeOwned>(
    unverified: &str,
    keys: &KeySet,
    issuer: &str,
    audience: &str,
    types: &[&str],
) -> Result<(C, String), Error> {
    if stands(Protection::TokenSize) && unverified.len() > MAX_TOKEN_BYTES {
        return Err(Error::Malformed);
    }
    let kid = key_id(unverified, types)?;
    let key = keys.get(&kid).ok_or(Error::UnknownKey)?;
    if !stands(Protection::TokenSignature) {
        return Ok((unproven::claims(unverified)?, kid));
    }
    jsonwebtoken::decode::<C>(unverified, key, &validation(issuer, audience))
        .map(|data| (data.claims, kid))
        .map_err(|error| reason(&error))
}

/// The id of the key, once the header says what the header of a token of ours says.
fn key_id(unverified: &str, types: &[&str]) -> Result<String, Error> {
    if !stands(Protection::TokenAlgorithm) {
        return unproven::key_id(unverified);
    }
    let header = jsonwebtoken::decode_header(unverified).map_err(|_| Error::Malformed)?;
    let foreign =
        header.jku.is_some() || header.jwk.is_some() || header.x5u.is_some() || header.x5c.is_some();
    let foreign = foreign || header.crit.is_some() || header.cty.is_some();
    let known_type = header.typ.as_deref().is_some_and(|typ| types.contains(&typ));
    let bad_header = stands(Protection::TokenHeader) && foreign;
    let bad_type = stands(Protection::TokenType) && !known_type;
    if header.alg != Algorithm::ES256 || bad_header || bad_type {
        return Err(Error::Malformed);
    }
    header.kid.ok_or(Error::Malformed)
}

fn validation(issuer: &str, audience: &str) -> Validation {
    let mut validation = Validation::new(Algorithm::ES256);
    validation.leeway = LEEWAY_SECONDS;
    validation.validate_exp = stands(Protection::TokenTime);
    validation.validate_nbf = stands(Protection::TokenTime);
    if stands(Protection::TokenIssuer) {
        validation.set_issuer(&[issuer]);
    }
    validation.validate_aud = stands(Protection::TokenAudience);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
    validation
}

fn reason(error: &jsonwebtoken::errors::Error) -> Error {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::ExpiredSignature => Error::Expired,
        ErrorKind::ImmatureSignature => Error::Immature,
        ErrorKind::InvalidAudience => Error::Audience,
        ErrorKind::InvalidIssuer => Error::Issuer,
        ErrorKind::InvalidSignature => Error::Signature,
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::Json(_) => Error::Claims,
        _ => Error::Malformed,
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Audience {
    type Err = Error;

    fn from_str(unverified: &str) -> Result<Self, Error> {
        [Self::Dispatcher, Self::Query, Self::Egress]
            .into_iter()
            .find(|audience| audience.as_str() == unverified)
            .ok_or(Error::Audience)
    }
}
