//! Adding, rotating and removing webhooks, in their callers' transactions.

use sqlx::PgConnection;
use trace_contracts::{
    Name, OrgId, Secret, UserId,
    wire::{
        limit,
        webhook::{WebhookInfo, WebhookKeyReply, WebhookRequest},
    },
};
use uuid::Uuid;

use super::{
    Error,
    seal::{Label, SealingKey, What},
    sign::SigningSecret,
};
use crate::db::{
    self,
    webhooks::{NewKey, NewWebhook, SealedBy, WebhookRow},
};

/// For how long the key before signs, too, when nobody says.
pub const OVERLAP_SECONDS: u32 = 24 * 3_600;
/// For how long at most.
pub const MAX_OVERLAP_SECONDS: u32 = 7 * 24 * 3_600;

/// Adds a webhook with a key of its own.
///
/// # Errors
/// See [`Error`].
pub async fn add(
    tx: &mut PgConnection,
    seal: &SealingKey,
    org: OrgId,
    by: UserId,
    request: &WebhookRequest,
) -> Result<WebhookKeyReply, Error> {
    db::webhooks::lock(tx, org).await?;
    let there = db::webhooks::of_org(tx, org).await?;
    if there.iter().any(|webhook| webhook.name == request.name) {
        return Err(Error::Taken);
    }
    if there.len() >= limit::WEBHOOKS as usize {
        return Err(Error::TooMany);
    }
    if db::webhooks::sealed_otherwise(tx, seal.fingerprint()).await? == SealedBy::Another {
        return Err(Error::AnotherKey);
    }
    let seal_id = Uuid::new_v4();
    let label = Label { what: What::Target, org, row: seal_id };
    let target = seal.seal(label, request.url.target().expose().as_bytes())?;
    let new = NewWebhook {
        org,
        name: &request.name,
        destination: request.url.destination(),
        seal_id,
        target: &target,
        sealed_by: seal.fingerprint(),
        added_by: by,
    };
    let id = db::webhooks::insert(tx, &new).await?;
    let key = new_key(tx, seal, org, id, 0).await?;
    Ok(WebhookKeyReply { webhook: info(tx, org, &request.name).await?, key })
}

/// Gives a webhook a new key. The one before signs, too, for a while.
///
/// # Errors
/// See [`Error`].
pub async fn rotate(
    tx: &mut PgConnection,
    seal: &SealingKey,
    org: OrgId,
    name: &Name,
    overlap_seconds: u32,
) -> Result<WebhookKeyReply, Error> {
    let webhook = hold(tx, org, name).await?;
    if webhook.sealed_by != seal.fingerprint() {
        return Err(Error::AnotherKey);
    }
    let key = new_key(tx, seal, org, webhook.id, overlap_seconds.min(MAX_OVERLAP_SECONDS)).await?;
    Ok(WebhookKeyReply { webhook: info(tx, org, name).await?, key })
}

/// Removes a webhook; answers it as it was.
///
/// # Errors
/// See [`Error`].
pub async fn remove(tx: &mut PgConnection, org: OrgId, name: &Name) -> Result<WebhookInfo, Error> {
    let webhook = hold(tx, org, name).await?;
    let info = info(tx, org, name).await?;
    db::webhooks::remove(tx, webhook.id).await?;
    Ok(info)
}

/// Sends to a webhook again, as if it had never failed.
///
/// # Errors
/// See [`Error`].
pub async fn enable(tx: &mut PgConnection, org: OrgId, name: &Name) -> Result<WebhookInfo, Error> {
    let webhook = hold(tx, org, name).await?;
    db::webhooks::enable(tx, webhook.id).await?;
    info(tx, org, name).await
}

/// The webhook of a name.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn find(conn: &mut PgConnection, org: OrgId, name: &Name) -> Result<WebhookRow, Error> {
    let found = db::webhooks::of_org(conn, org).await?;
    found.into_iter().find(|webhook| webhook.name == *name).ok_or(Error::NotFound)
}

/// The same. Nobody else changes the org's webhooks until the transaction ends.
async fn hold(tx: &mut PgConnection, org: OrgId, name: &Name) -> Result<WebhookRow, Error> {
    db::webhooks::lock(tx, org).await?;
    find(tx, org, name).await
}

async fn new_key(
    tx: &mut PgConnection,
    seal: &SealingKey,
    org: OrgId,
    webhook: i64,
    overlap_seconds: u32,
) -> Result<Secret<String>, Error> {
    let key = SigningSecret::generate()?;
    let id = Uuid::new_v4();
    let sealed = seal.seal(Label { what: What::Key, org, row: id }, key.as_bytes())?;
    db::webhooks::set_key(tx, webhook, &NewKey { id, sealed: &sealed }, overlap_seconds).await?;
    Ok(key.shown())
}

async fn info(tx: &mut PgConnection, org: OrgId, name: &Name) -> Result<WebhookInfo, Error> {
    db::webhooks::infos(tx, org, Some(name)).await?.pop().ok_or(Error::NotFound)
}
