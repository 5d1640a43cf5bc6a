//! `POST /v1/task/launch` and `POST /v1/task/launch/report`, for runners.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_s3::{error::DisplayErrorContext, presigning::PresigningConfig};
use axum::{
    Json,
    extract::{FromRequestParts, State},
    http::{StatusCode, request::Parts},
};
use chrono::Utc;
use trace_contracts::{
    Audience, ErrorCode, LaunchTicket, OrgId, Secret,
    wire::{
        launch::{RedeemReply, RedeemRequest, ReportRequest},
        limit,
        plane::AuditVerdict,
        worker::{Blob, Code},
    },
};
use trace_plane::{Body, Refusal, Reply, bearer};

use crate::{
    App,
    authority::launches::{end_stolen, entry},
    db::{
        self,
        launches::{Redeemed, Reported},
        leases::LeaseRow,
        notify::Channel,
    },
    grants::{self, Granted},
    http::worker::launch_spec,
    mint::Subject,
    objects::Objects,
};

/// Whoever has the address of a bundle can read it for this long; the runner asks again where that is too short.
const ADDRESS: Duration = Duration::from_secs(900);

/// A ticket that can be redeemed, or was, when its holder called.
#[derive(Debug)]
pub(super) struct Launch {
    ticket: LaunchTicket,
    lease: LeaseRow,
}

impl FromRequestParts<App> for Launch {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let ticket: LaunchTicket = bearer(&parts.headers)?.parse().map_err(|_| invalid())?;
        let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
        match db::launches::lease_of(&mut conn, &ticket).await? {
            Some(lease) if !app.liveness.is_cut(lease.attempt) => Ok(Self { ticket, lease }),
            _ => Err(invalid()),
        }
    }
}

/// The same words for every ticket that is not worth anything, so that nobody learns what it was.
fn invalid() -> Refusal {
    Refusal::new(
        ErrorCode::Unauthenticated,
        "this launch ticket is not valid: it is none, its time is up, or its attempt is over",
    )
}

/// Exchanges a ticket for the attempt's order and its capability.
pub(super) async fn redeem(
    State(app): State<App>,
    launch: Launch,
    Body(request): Body<RedeemRequest>,
) -> Reply<Json<RedeemReply>> {
    let facts = {
        let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
        app.core.facts.one(&mut conn, launch.lease.run()).await?
    };
    let mut tx = app.db.begin().await.map_err(db::Error::from)?;
    match db::launches::redeem(&mut tx, &launch.ticket, &request.nonce).await? {
        Redeemed::Mine => {}
        Redeemed::Invalid => return Err(invalid()),
        Redeemed::Another => {
            drop(tx);
            end_stolen(&app, facts.org, &launch.lease).await?;
            return Err(invalid());
        }
    }
    // Written before it is answered: what can't be audited is not done.
    let said = entry(facts.org, &launch.lease, AuditVerdict::Allow, "its runner asked for its order");
    db::audit::append(&mut tx, &[said]).await?;
    db::notify::send_attempts(&mut tx, Channel::Logs, &[launch.lease.attempt]).await?;
    tx.commit().await.map_err(db::Error::from)?;
    order(&app, launch.lease).await.map(Json)
}

async fn order(app: &App, lease: LeaseRow) -> Reply<RedeemReply> {
    let (bucket, way_out) = (&app.config.object_store.bucket, app.config.egress);
    let granted = grants::of_leases(&app.db, &app.core.facts, bucket, way_out, vec![lease]).await?;
    let [granted]: [Granted; 1] = granted.try_into().map_err(|_| invalid())?;
    let launch = launch_spec(&granted)?;
    let signer = app.minter.signer(&mut *app.db.acquire().await.map_err(db::Error::from)?).await?;
    let subject = Subject {
        lease: &granted.lease,
        org: launch.org,
        grants: &granted.grants,
        timeout: Duration::from_millis(launch.timeout_ms),
    };
    let token = signer.mint(subject, Audience::Dispatcher, Utc::now())?;
    let bundle = match &launch.code {
        Code::Udf { bundle, .. } => Some(address(app, launch.org, *bundle).await?),
        Code::Operator { .. } => None,
    };
    let mut files = BTreeMap::new();
    for (name, blob) in &launch.files {
        files.insert(name.clone(), address(app, launch.org, *blob).await?);
    }
    Ok(RedeemReply {
        attempt: granted.lease.attempt,
        launch,
        region: app.config.object_store.region.clone(),
        capability_token: token.token,
        bundle,
        files,
    })
}

/// A presigned read of a blob, which its reader checks by its hash.
async fn address(app: &App, org: OrgId, blob: Blob) -> Reply<Secret<String>> {
    let refuse = |error: &dyn std::error::Error| {
        tracing::error!(error = %DisplayErrorContext(error), "the address of a blob can't be signed");
        Refusal::new(ErrorCode::Unavailable, "the address of a bundle can't be signed right now; try again")
    };
    let presigning = PresigningConfig::expires_in(ADDRESS).map_err(|error| refuse(&error))?;
    let get = app.objects.client().get_object().bucket(app.objects.bucket());
    let signed = get.key(Objects::blob_key(org, blob.sha256)).presigned(presigning).await;
    Ok(Secret::new(signed.map_err(|error| refuse(&error))?.uri().to_owned()))
}

/// Keeps what a runner reports until its worker has taken it.
pub(super) async fn report(
    State(app): State<App>,
    launch: Launch,
    Body(request): Body<ReportRequest>,
) -> Reply<StatusCode> {
    let refuse = |why: &str| Refusal::new(ErrorCode::BadRequest, why.to_owned());
    if request.events.len() > limit::REPORT_EVENTS {
        return Err(refuse("too many events in one report"));
    }
    let events = request.events.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>();
    let events = events.map_err(|error| Refusal::internal(&error))?;
    let first_seq = i64::try_from(request.first_seq).ok().filter(|first| *first < i64::MAX / 2);
    let first_seq = first_seq.ok_or_else(|| refuse("`first_seq` is not an event's number"))?;
    let mut tx = app.db.begin().await.map_err(db::Error::from)?;
    match db::launches::report(&mut tx, &launch.ticket, &request.nonce, first_seq, &events).await? {
        Reported::Invalid => return Err(invalid()),
        Reported::Kept(bytes) if bytes > limit::REPORTED_BYTES_PER_ATTEMPT => {
            return Err(Refusal::new(
                ErrorCode::LimitExceeded,
                format!("an attempt reports at most {} bytes", limit::REPORTED_BYTES_PER_ATTEMPT),
            ));
        }
        Reported::Kept(_) => {}
    }
    if !events.is_empty() {
        db::notify::send_attempts(&mut tx, Channel::Logs, &[launch.lease.attempt]).await?;
    }
    tx.commit().await.map_err(db::Error::from)?;
    Ok(StatusCode::NO_CONTENT)
}
