//! `POST /internal/deliveries/claim` and `/report`: what the egress gateway sends, and what came of it.

use std::time::Duration;

use axum::{Json, extract::State};
use tokio::time::{Instant, timeout_at};
use trace_contracts::{
    ErrorCode,
    wire::{
        delivery::{
            DeliveryClaimReply, DeliveryClaimRequest, DeliveryReportReply, DeliveryReportRequest,
            OutgoingDelivery,
        },
        limit,
    },
};
use trace_plane::{Body, Refusal, Reply};

use super::Plane;
use crate::{App, config::Egress, db, db::notify::Channel, webhooks};

/// Between two looks of one claim at least this much time passes, unless there is news.
const MIN_PAUSE: Duration = Duration::from_secs(1);

/// Takes due deliveries, waiting until there is one.
pub(super) async fn claim(
    State(app): State<App>,
    _: Plane,
    Body(request): Body<DeliveryClaimRequest>,
) -> Reply<Json<DeliveryClaimReply>> {
    if app.config.egress == Egress::None {
        let why = "this dispatcher knows of no egress gateway: set `egress: gateway` in its configuration";
        return Err(Refusal::new(ErrorCode::BadRequest, why));
    }
    let deadline = Instant::now() + Duration::from_millis(request.wait_ms.min(limit::WAIT_MS));
    // Subscribed before looking, so that a delivery that gets due in between is not missed.
    let mut news = app.signals.deliveries();
    loop {
        news.mark_unchanged();
        let deliveries = claim_once(&app, &request).await?;
        if !deliveries.is_empty() || Instant::now() >= deadline {
            return Ok(Json(DeliveryClaimReply { deliveries }));
        }
        let look_at = deadline.min(next_look(&app).await?);
        tokio::select! {
            () = app.shutdown.cancelled() => return Ok(Json(DeliveryClaimReply::default())),
            _due_or_news = timeout_at(look_at, news.changed()) => {}
        }
    }
}

async fn claim_once(app: &App, request: &DeliveryClaimRequest) -> Reply<Vec<OutgoingDelivery>> {
    let mut tx = app.db.begin().await.map_err(db::Error::from)?;
    let deliveries = webhooks::claim::claim(&mut tx, &app.config.webhooks, &app.seal, request).await?;
    tx.commit().await.map_err(db::Error::from)?;
    Ok(deliveries)
}

async fn next_look(app: &App) -> Reply<Instant> {
    let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
    let due = db::delivery_claims::next_due(&mut conn).await?;
    let wait = due.map_or(Duration::MAX, |seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default());
    let wait = wait.clamp(MIN_PAUSE, Duration::from_millis(limit::WAIT_MS));
    Ok(Instant::now() + wait)
}

/// Writes down what came of deliveries.
pub(super) async fn report(
    State(app): State<App>,
    _: Plane,
    Body(request): Body<DeliveryReportRequest>,
) -> Reply<Json<DeliveryReportReply>> {
    if request.outcomes.len() > limit::CLAIMED_DELIVERIES as usize {
        let most = limit::CLAIMED_DELIVERIES;
        return Err(Refusal::new(ErrorCode::BadRequest, format!("report at most {most} outcomes at once")));
    }
    let mut tx = app.db.begin().await.map_err(db::Error::from)?;
    let verdicts = webhooks::report::report(&mut tx, &app.config.webhooks, &request).await?;
    // A receiver has room for the next one, and a try may be due sooner than anybody waits.
    db::notify::send(&mut tx, Channel::Deliveries).await?;
    tx.commit().await.map_err(db::Error::from)?;
    Ok(Json(DeliveryReportReply { verdicts }))
}
