//! The first org, its admin, and the identities of workers and planes: what `dispatcher init` makes. Whoever reaches
//! the state database may do it, which is more than any role of the platform.
//!
//! It can be repeated: what is there stays as it is, and no token is made twice unless that is asked for.

use std::{io, path::PathBuf, str::FromStr};

use serde::Serialize;
use sqlx::{Connection as _, PgConnection};
use trace_contracts::{Name, OrgId, Role, Secret, Sha256, digest::InvalidSha256, name::InvalidName};

use super::{new_token, token_file};
use crate::{
    db::{
        self,
        identities::{Kept, Standing},
        users::NewUser,
    },
    identity::Kind,
};

/// What to make.
#[derive(Debug)]
pub struct First {
    /// The org.
    pub org: Name,
    /// Its admin, at the issuer of users' tokens.
    pub admin: Option<Admin>,
    /// Workers and planes.
    pub identities: Vec<Wanted>,
    /// What becomes of identities that are there with another token, or revoked.
    pub existing: Existing,
    /// Where tokens go that are made here.
    pub tokens: Tokens,
}

/// A user, before their first login.
#[derive(Debug)]
pub struct Admin {
    /// Who issues their tokens.
    pub issuer: String,
    /// `sub` of their tokens.
    pub subject: String,
}

/// An identity to make.
#[derive(Debug)]
pub struct Wanted {
    /// What it is called.
    pub named: Named,
    /// What it is for.
    pub kind: Kind,
}

/// An identity by its name, and by the hash of its token where that was made elsewhere: `NAME` or `NAME=SHA256`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    name: Name,
    token: Option<Sha256>,
}

/// What becomes of identities that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// They stay; those that are not as asked for are an error.
    Keep,
    /// They get the new token, and the old one is worth nothing from now on.
    Replace,
}

/// Where tokens go that are made here. Each is told once: the database keeps its hash.
#[derive(Debug)]
pub enum Tokens {
    /// Into files of a folder, mode 0600.
    Folder(PathBuf),
    /// Into the report.
    Report,
    /// Nowhere: then every identity has to come with the hash of its token.
    Nowhere,
}

/// What was done.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The org.
    pub org: OrgReport,
    /// The admin, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<String>,
    /// Each identity that was asked for.
    pub identities: Vec<IdentityReport>,
}

/// An org.
#[derive(Debug, Serialize)]
pub struct OrgReport {
    /// Its name.
    pub name: Name,
    /// Its id.
    pub id: OrgId,
}

/// An identity.
#[derive(Debug, Serialize)]
pub struct IdentityReport {
    /// Its name.
    pub name: Name,
    /// What it is for.
    pub kind: &'static str,
    /// What was done.
    pub done: Done,
}

/// What was done about an identity.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// It was there.
    Kept,
    /// It has the token whose hash was given.
    Given,
    /// Its token is in this file.
    Written(PathBuf),
    /// Its token, which nobody can ask for again.
    Made(Secret<String>),
}

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error("the state database failed")]
    Db(#[from] db::Error),
    /// It is there for another use.
    #[error("`{name}` is a {kind} already: choose another name")]
    Kind {
        /// The identity.
        name: Name,
        /// What it is.
        kind: &'static str,
    },
    /// It is there, with another token than the one that was asked for.
    #[error("`{0}` is there with another token: give --replace to take that one away")]
    OtherToken(Name),
    /// It is there, and revoked.
    #[error("`{0}` was revoked: give --replace to let it in again with a new token")]
    Revoked(Name),
    /// Nobody would be told the token.
    #[error(
        "a token for `{0}` would be lost: say where it goes with --tokens-dir or --print-tokens, or give the hash of one that you made as `{0}=SHA256`"
    )]
    NowhereToGo(Name),
    /// A token's file can't be written.
    #[error("the token of `{name}` can't be written into {folder}: {source}", folder = .folder.display())]
    File {
        /// The identity.
        name: Name,
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Why a text names no identity.
#[derive(Debug, thiserror::Error)]
pub enum InvalidNamed {
    /// The name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The hash.
    #[error("after `=` stands the hash of the token: {0}")]
    Hash(#[from] InvalidSha256),
}

impl FromStr for Named {
    type Err = InvalidNamed;

    fn from_str(unverified: &str) -> Result<Self, InvalidNamed> {
        Ok(match unverified.split_once('=') {
            Some((name, hash)) => Self { name: name.parse()?, token: Some(hash.parse()?) },
            None => Self { name: unverified.parse()?, token: None },
        })
    }
}

/// Makes all of it, or nothing.
///
/// # Errors
/// See [`Error`].
pub async fn make(conn: &mut PgConnection, first: First) -> Result<Report, Error> {
    let mut tx = conn.begin().await.map_err(db::Error::from)?;
    db::identities::prepare_alone(&mut tx).await?;
    let org = db::identities::ensure_org(&mut tx, &first.org).await?;
    if let Some(Admin { issuer, subject }) = &first.admin {
        let new = NewUser { org, issuer, external_id: subject, email: None, role: Role::Admin };
        db::users::insert(&mut tx, &new).await?;
    }
    let mut identities = Vec::with_capacity(first.identities.len());
    for wanted in &first.identities {
        let done = identity(&mut tx, wanted, &first).await?;
        identities.push(IdentityReport { name: wanted.named.name.clone(), kind: wanted.kind.as_str(), done });
    }
    tx.commit().await.map_err(db::Error::from)?;
    let admin = first.admin.map(|admin| admin.subject);
    Ok(Report { org: OrgReport { name: first.org, id: org }, admin, identities })
}

async fn identity(conn: &mut PgConnection, wanted: &Wanted, first: &First) -> Result<Done, Error> {
    let Wanted { named: Named { name, token }, kind } = wanted;
    if let Some(kept) = db::identities::of_name(conn, name).await?
        && judge(wanted, &kept, first.existing)? == Fate::Stays
    {
        return Ok(Done::Kept);
    }
    let (hash, done) = match token {
        Some(hash) => (*hash, Done::Given),
        None => {
            let made = Secret::new(new_token(*kind));
            (Sha256::of(made.expose().as_bytes()), hand_over(name, made, &first.tokens)?)
        }
    };
    db::identities::upsert(conn, name, *kind, &hash).await?;
    Ok(done)
}

/// What becomes of an identity that is there.
#[derive(PartialEq, Eq)]
enum Fate {
    Stays,
    GetsNewToken,
}

fn judge(wanted: &Wanted, kept: &Kept, existing: Existing) -> Result<Fate, Error> {
    let Wanted { named: Named { name, token }, kind } = wanted;
    if kept.kind != *kind {
        return Err(Error::Kind { name: name.clone(), kind: kept.kind.as_str() });
    }
    let is_as_asked = token.is_none_or(|token| token == kept.token);
    match (existing, kept.standing) {
        // With a hash, replacing again what was replaced before changes nothing.
        (Existing::Replace, Standing::Active) if token.is_some() && is_as_asked => Ok(Fate::Stays),
        (Existing::Replace, _) => Ok(Fate::GetsNewToken),
        (Existing::Keep, Standing::Revoked) => Err(Error::Revoked(name.clone())),
        (Existing::Keep, Standing::Active) if is_as_asked => Ok(Fate::Stays),
        (Existing::Keep, Standing::Active) => Err(Error::OtherToken(name.clone())),
    }
}

/// Tells a token, before the database believes it: one that nobody was told would be lost.
fn hand_over(name: &Name, token: Secret<String>, tokens: &Tokens) -> Result<Done, Error> {
    match tokens {
        Tokens::Nowhere => Err(Error::NowhereToGo(name.clone())),
        Tokens::Report => Ok(Done::Made(token)),
        Tokens::Folder(folder) => token_file::write(folder, name, &token)
            .map(Done::Written)
            .map_err(|source| Error::File { name: name.clone(), folder: folder.clone(), source }),
    }
}
