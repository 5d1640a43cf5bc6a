//! `/v1/task`, for the code of a task: a capability and nothing else. And for the runner of an attempt in a
//! container of its own, which gets the capability there for a launch ticket.

mod checkpoint;
mod context;
mod credentials;
mod deliver;
mod launch;
mod token;

use std::sync::Arc;

use axum::{
    extract::{DefaultBodyLimit, FromRequestParts},
    http::{Method, request::Parts},
    routing::{get, post, put},
};
use chrono::Utc;
use sqlx::PgConnection;
use trace_contracts::{
    Audience, Capability, ErrorCode, LeaseToken, WorkerId,
    wire::{
        limit,
        plane::{Actor, AuditEntry, AuditVerdict, Plane},
    },
};
use trace_controls::{Protection, stands};
use trace_plane::{Refusal, Reply, bearer};

use super::{Caller, Route};
use crate::{App, db, db::leases::LeaseRow};

/// The routes for tasks.
#[must_use]
pub fn routes() -> Vec<Route> {
    let checkpoint_limit = DefaultBodyLimit::max(limit::CHECKPOINT_BYTES);
    // The same text may be written longer: every character as an escape.
    let delivery_limit = DefaultBodyLimit::max(6 * limit::TASK_DELIVERY_BYTES + 1024);
    vec![
        Route::new(Method::POST, "/v1/task/token", Caller::Task, post(token::token)),
        Route::new(Method::POST, "/v1/task/credentials", Caller::Task, post(credentials::credentials)),
        Route::new(Method::POST, "/v1/task/objects", Caller::Task, post(credentials::objects)),
        Route::new(Method::GET, "/v1/task/context", Caller::Task, get(context::context)),
        Route::new(Method::GET, "/v1/task/checkpoint", Caller::Task, get(checkpoint::read)),
        Route::new(
            Method::PUT,
            "/v1/task/checkpoint",
            Caller::Task,
            put(checkpoint::write).layer(checkpoint_limit),
        ),
        Route::new(
            Method::POST,
            "/v1/task/deliveries",
            Caller::Task,
            post(deliver::deliver).layer(delivery_limit),
        ),
        Route::new(Method::POST, "/v1/task/launch", Caller::Runner, post(launch::redeem)),
        Route::new(Method::POST, "/v1/task/launch/report", Caller::Runner, post(launch::report)),
    ]
}

/// A task whose attempt held its lease when it called.
#[derive(Debug, Clone)]
pub(super) struct LiveTask {
    capability: Arc<Capability>,
    lease: LeaseRow,
}

impl FromRequestParts<App> for LiveTask {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let unverified = bearer(&parts.headers)?;
        let capability = app.capabilities.verify_capability(unverified, Audience::Dispatcher).await?;
        let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
        let lease = db::leases::current_under(&mut conn, capability.attempt(), capability.kid()).await?;
        if !stands(Protection::LivingAttempt) {
            let lease = lease.unwrap_or_else(|| unproven(&capability));
            return Ok(Self { capability, lease });
        }
        match lease {
            Some(lease) if lease.task == capability.task() && !app.liveness.is_cut(lease.attempt) => {
                Ok(Self { capability, lease })
            }
            _ => Err(refuse(&mut conn, &capability, parts.uri.path()).await?),
        }
    }
}

/// The refusal of a token whose time is over. One that a revoked key signed may be a thief's: it is in the
/// audit log before it is refused.
async fn refuse(conn: &mut PgConnection, capability: &Capability, path: &str) -> Reply<Refusal> {
    let kid = capability.kid();
    if db::keys::revoked(conn, &[kid.to_string()]).await?.is_empty() {
        return Ok(over());
    }
    let why = "the key that signed this token was revoked";
    let entry = AuditEntry {
        plane: Plane::Dispatcher,
        org: capability.org(),
        actor: Actor::Attempt { task: capability.task(), attempt: capability.attempt() },
        action: "token.use".to_owned(),
        object: path.to_owned(),
        verdict: AuditVerdict::Deny,
        detail: serde_json::json!({ "why": why }),
        kid: Some(kid.clone()),
    };
    db::audit::append(conn, &[entry]).await?;
    Ok(Refusal::new(ErrorCode::Revoked, why))
}

/// The lease that a control of the hostile suite has, in which attempts do not end.
fn unproven(capability: &Capability) -> LeaseRow {
    LeaseRow {
        attempt: capability.attempt(),
        lease_token: LeaseToken::random(),
        task: capability.task(),
        worker: WorkerId::from_db(1),
        failures: 0,
        losses: 0,
        started_at: Utc::now(),
        expires_at: capability.expires_at(),
    }
}

fn over() -> Refusal {
    Refusal::new(
        ErrorCode::Revoked,
        "the attempt behind this token is over: it ended, lost its lease or was cancelled",
    )
}
