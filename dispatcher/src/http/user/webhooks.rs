//! `/v1/webhooks`: where the org's deliveries go, and what became of them.

use axum::{
    Json,
    extract::{FromRequestParts, Path, State},
    http::{StatusCode, request::Parts},
};
use serde::Deserialize;
use serde_json::json;
use trace_contracts::{
    DeliveryId, ErrorCode, Name,
    wire::webhook::{
        DeliveryInfo, DeliveryState, RedriveReply, RedriveRequest, RotateRequest, WebhookInfo,
        WebhookKeyReply, WebhookRequest,
    },
};
use trace_plane::{Body, Refusal, Reply};

use super::{
    extract::{Params, limit},
    problem::{database, not_found},
};
use crate::{
    App, audit,
    db::{self, deliveries::Listing, notify::Channel},
    permissions::{Permit, action},
    webhooks::{self, registry},
};

/// Deliveries that one redrive makes due again.
const REDRIVEN: usize = 1_000;

/// The webhook that an address names. What can't be a name is not found.
pub(super) struct Webhook(Name);

impl<S: Send + Sync> FromRequestParts<S> for Webhook {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let unverified = Path::<String>::from_request_parts(parts, state).await;
        let name = unverified.ok().and_then(|Path(text)| text.parse().ok());
        name.map(Self).ok_or_else(|| not_found("webhook"))
    }
}

/// Which deliveries to list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    state: Option<DeliveryState>,
    limit: Option<u32>,
    after: Option<DeliveryId>,
}

/// `GET /v1/webhooks`.
pub(super) async fn list(
    permit: Permit<action::ListWebhooks>,
    State(app): State<App>,
) -> Reply<Json<Vec<WebhookInfo>>> {
    let mut conn = app.db.acquire().await.map_err(database)?;
    Ok(Json(db::webhooks::infos(&mut conn, permit.org(), None).await.map_err(database)?))
}

/// `POST /v1/webhooks`: the answer has the key that signs, once.
pub(super) async fn add(
    permit: Permit<action::AddWebhook>,
    State(app): State<App>,
    Body(request): Body<WebhookRequest>,
) -> Reply<(StatusCode, Json<WebhookKeyReply>)> {
    let mut tx = app.db.begin().await.map_err(database)?;
    let added = registry::add(&mut tx, &app.seal, permit.org(), permit.user(), &request).await?;
    let detail = json!({ "destination": added.webhook.destination });
    audit::record(&mut tx, &permit, &request.name, detail).await.map_err(database)?;
    tx.commit().await.map_err(database)?;
    Ok((StatusCode::CREATED, Json(added)))
}

/// `POST /v1/webhooks/{name}/rotate`: the answer has the new key, once.
pub(super) async fn rotate(
    permit: Permit<action::RotateWebhook>,
    State(app): State<App>,
    Webhook(name): Webhook,
    Body(request): Body<RotateRequest>,
) -> Reply<Json<WebhookKeyReply>> {
    let overlap = request.overlap_seconds.unwrap_or(registry::OVERLAP_SECONDS);
    if overlap > registry::MAX_OVERLAP_SECONDS {
        let most = registry::MAX_OVERLAP_SECONDS;
        let detail =
            format!("`overlap_seconds` is at most {most}, a week: a key that leaked signs for as long");
        return Err(Refusal::new(ErrorCode::BadRequest, detail));
    }
    let mut tx = app.db.begin().await.map_err(database)?;
    let rotated = registry::rotate(&mut tx, &app.seal, permit.org(), &name, overlap).await?;
    audit::record(&mut tx, &permit, &name, json!({ "overlap_seconds": overlap })).await.map_err(database)?;
    tx.commit().await.map_err(database)?;
    Ok(Json(rotated))
}

/// `POST /v1/webhooks/{name}/enable`: sends there again.
pub(super) async fn enable(
    permit: Permit<action::EnableWebhook>,
    State(app): State<App>,
    Webhook(name): Webhook,
) -> Reply<Json<WebhookInfo>> {
    let mut tx = app.db.begin().await.map_err(database)?;
    let enabled = registry::enable(&mut tx, permit.org(), &name).await?;
    audit::record(&mut tx, &permit, &name, json!({})).await.map_err(database)?;
    db::notify::send(&mut tx, Channel::Deliveries).await.map_err(database)?;
    tx.commit().await.map_err(database)?;
    Ok(Json(enabled))
}

/// `DELETE /v1/webhooks/{name}`: deliveries that are due to it are given up.
pub(super) async fn remove(
    permit: Permit<action::RemoveWebhook>,
    State(app): State<App>,
    Webhook(name): Webhook,
) -> Reply<Json<WebhookInfo>> {
    let mut tx = app.db.begin().await.map_err(database)?;
    let removed = registry::remove(&mut tx, permit.org(), &name).await?;
    let detail = json!({ "destination": removed.destination, "due": removed.due });
    audit::record(&mut tx, &permit, &name, detail).await.map_err(database)?;
    db::notify::send(&mut tx, Channel::Deliveries).await.map_err(database)?;
    tx.commit().await.map_err(database)?;
    Ok(Json(removed))
}

/// `GET /v1/webhooks/{name}/deliveries`: the newest first.
pub(super) async fn deliveries(
    permit: Permit<action::ListWebhooks>,
    State(app): State<App>,
    Webhook(name): Webhook,
    Params(wanted): Params<Wanted>,
) -> Reply<Json<Vec<DeliveryInfo>>> {
    let listing = Listing { state: wanted.state, after: wanted.after, limit: limit(wanted.limit)? };
    let mut tx = app.db.begin().await.map_err(database)?;
    let webhook = registry::find(&mut tx, permit.org(), &name).await?;
    Ok(Json(db::deliveries::page(&mut tx, permit.org(), webhook.id, listing).await.map_err(database)?))
}

/// `POST /v1/webhooks/{name}/redrive`: dead deliveries become due again.
pub(super) async fn redrive(
    permit: Permit<action::RedriveDeliveries>,
    State(app): State<App>,
    Webhook(name): Webhook,
    Body(request): Body<RedriveRequest>,
) -> Reply<Json<RedriveReply>> {
    if request.deliveries.as_ref().is_some_and(|deliveries| deliveries.len() > REDRIVEN) {
        return Err(Refusal::new(
            ErrorCode::BadRequest,
            format!("name at most {REDRIVEN} deliveries at once"),
        ));
    }
    let only: Option<Vec<i64>> =
        request.deliveries.as_ref().map(|deliveries| deliveries.iter().map(|one| one.get()).collect());
    let mut tx = app.db.begin().await.map_err(database)?;
    registry::find(&mut tx, permit.org(), &name).await?;
    let most = i64::try_from(REDRIVEN).unwrap_or(i64::MAX);
    let redriven = db::deliveries::redrive(&mut tx, &name, permit.org(), only.as_deref(), most)
        .await
        .map_err(database)?;
    audit::record(&mut tx, &permit, &name, json!({ "redriven": redriven })).await.map_err(database)?;
    db::notify::send(&mut tx, Channel::Deliveries).await.map_err(database)?;
    tx.commit().await.map_err(database)?;
    Ok(Json(RedriveReply { redriven }))
}

impl From<webhooks::Error> for Refusal {
    fn from(error: webhooks::Error) -> Self {
        use webhooks::Error as E;
        let code = match &error {
            E::NotFound => ErrorCode::NotFound,
            E::Taken => ErrorCode::Conflict,
            E::TooMany => ErrorCode::LimitExceeded,
            E::AnotherKey => ErrorCode::Unavailable,
            E::Db(_) | E::Key(_) | E::Seal(_) => return internal(error),
        };
        Self::new(code, error.to_string())
    }
}

fn internal(error: webhooks::Error) -> Refusal {
    match error {
        webhooks::Error::Db(error) => database(error),
        other => Refusal::internal(&other),
    }
}
