//! First steps of an installation: orgs, and the identities of workers and planes.

pub mod first;
mod token_file;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::Rng;
use sqlx::PgPool;
use trace_contracts::{Name, OrgId, Secret, Sha256};

use crate::{db, identity::Kind};

/// Makes sure that an org is there. Safe to repeat.
///
/// # Errors
/// When the database fails.
pub async fn ensure_org(db: &PgPool, slug: &Name) -> Result<OrgId, db::Error> {
    db::identities::ensure_org(&mut *db.acquire().await?, slug).await
}

/// Gives a worker or plane a new token and answers it; the database keeps its hash alone. The
/// token before it is worth nothing from now on. Makes the identity when there is none of this
/// name, so that it is safe to repeat at every start.
///
/// # Errors
/// When the database fails.
pub async fn issue_identity(db: &PgPool, name: &str, kind: Kind) -> Result<Secret<String>, db::Error> {
    let token = new_token(kind);
    let hash = Sha256::of(token.as_bytes());
    db::identities::upsert(&mut *db.acquire().await?, name, kind, &hash).await?;
    Ok(Secret::new(token))
}

/// 256 random bits, and what they are for.
fn new_token(kind: Kind) -> String {
    format!("{}_{}", kind.as_str(), URL_SAFE_NO_PAD.encode(rand::rng().random::<[u8; 32]>()))
}
