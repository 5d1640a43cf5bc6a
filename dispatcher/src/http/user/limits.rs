//! `/v1/limits`: what the org may use at most.

use axum::{Json, extract::State};
use serde_json::json;
use sqlx::PgConnection;
use trace_contracts::{
    ErrorCode, FieldError, OrgId,
    wire::limits::{LimitsInfo, OrgLimits, RUNS, TASKS},
};
use trace_plane::{Body, Refusal, Reply};

use super::problem::database;
use crate::{
    App, audit, db,
    permissions::{Permit, action},
    task::set_limits::set_limits,
};

/// `GET /v1/limits`.
pub(super) async fn show(permit: Permit<action::View>, State(app): State<App>) -> Reply<Json<LimitsInfo>> {
    let mut conn = app.db.acquire().await.map_err(database)?;
    read(&mut conn, permit.org()).await.map(Json)
}

/// `PUT /v1/limits`: what is not said is without a bound from then on.
pub(super) async fn set(
    permit: Permit<action::SetLimits>,
    State(app): State<App>,
    Body(limits): Body<OrgLimits>,
) -> Reply<Json<LimitsInfo>> {
    check(&limits)?;
    let mut tx = app.db.begin().await.map_err(database)?;
    set_limits(&mut tx, &app.core, permit.org(), &limits).await?;
    let detail = json!({ "limits": limits });
    audit::record(&mut tx, &permit, permit.caller().org_slug(), detail).await.map_err(database)?;
    let info = read(&mut tx, permit.org()).await?;
    tx.commit().await.map_err(database)?;
    Ok(Json(info))
}

async fn read(conn: &mut PgConnection, org: OrgId) -> Reply<LimitsInfo> {
    let limits = db::org_limits::read(conn, org).await.map_err(database)?;
    let in_use = db::org_limits::in_use(conn, org).await.map_err(database)?;
    Ok(LimitsInfo { limits, in_use })
}

fn check(limits: &OrgLimits) -> Reply<()> {
    let fields = [
        ("tasks_at_once", limits.tasks_at_once, TASKS),
        ("runs_an_hour", limits.runs_an_hour, RUNS),
        ("queued_tasks", limits.queued_tasks, TASKS),
    ];
    let wrong = fields.into_iter().filter_map(|(field, value, (least, most))| {
        let value = value.filter(|value| !(least..=most).contains(value))?;
        let message =
            format!("{value} is out of bounds: use {least} to {most}, or leave it out for no limit");
        Some(FieldError { line: None, column: None, field: field.to_owned(), message })
    });
    let wrong: Vec<FieldError> = wrong.collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Refusal::new(ErrorCode::BadRequest, "the limits are not right; nothing was changed")
        .with_errors(wrong))
}
