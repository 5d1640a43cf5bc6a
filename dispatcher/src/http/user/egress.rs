//! `/v1/egress`: what the org's DAGs may reach outside.

use axum::{Json, extract::State, http::StatusCode};
use serde_json::json;
use trace_contracts::{
    EgressRuleId,
    wire::egress::{EgressChange, EgressEffect, EgressRuleInfo, EgressRuleRequest},
};
use trace_plane::{Body, Reply};

use super::{
    extract::Id,
    problem::{database, not_found},
};
use crate::{
    App, audit,
    authority::egress::{self, Set},
    db,
    permissions::{Permit, action},
};

/// `GET /v1/egress`: the rules that are in force; there are never more than one answer holds.
pub(super) async fn list(
    permit: Permit<action::ListEgress>,
    State(app): State<App>,
) -> Reply<Json<Vec<EgressRuleInfo>>> {
    let mut conn = app.db.acquire().await.map_err(database)?;
    let rules = db::egress::in_force(&mut conn, &[permit.org().get()]).await.map_err(database)?;
    Ok(Json(rules.into_iter().map(|row| row.info).collect()))
}

/// `POST /v1/egress`: 201 for a new rule, 200 for one that was there. A denial ends what it concerns before
/// it is answered.
pub(super) async fn set(
    permit: Permit<action::SetEgress>,
    State(app): State<App>,
    Body(request): Body<EgressRuleRequest>,
) -> Reply<(StatusCode, Json<EgressChange>)> {
    let mut tx = app.db.begin().await.map_err(database)?;
    let (rule, set) = egress::set(&mut tx, permit.org(), permit.user(), &request).await?;
    let detail = json!({ "rule": rule.rule, "effect": rule.effect, "dag": rule.dag });
    audit::record(&mut tx, &permit, &rule.to.to_string(), detail).await.map_err(database)?;
    tx.commit().await.map_err(database)?;
    let attempts_ended = match rule.effect {
        EgressEffect::Allow => 0,
        EgressEffect::Deny => egress::end_holders(&app, Some(rule.rule)).await?,
    };
    let status = if set == Set::Now { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(EgressChange { rule, attempts_ended })))
}

/// `DELETE /v1/egress/{rule}`: what only this rule let out is ended before it is answered.
pub(super) async fn remove(
    permit: Permit<action::RemoveEgress>,
    State(app): State<App>,
    Id(rule): Id<EgressRuleId>,
) -> Reply<Json<EgressChange>> {
    let mut tx = app.db.begin().await.map_err(database)?;
    let removed = egress::remove(&mut tx, permit.org(), rule).await.map_err(database)?;
    let rule = removed.ok_or_else(|| not_found("egress rule"))?;
    let detail = json!({ "rule": rule.rule, "effect": rule.effect, "dag": rule.dag });
    audit::record(&mut tx, &permit, &rule.to.to_string(), detail).await.map_err(database)?;
    tx.commit().await.map_err(database)?;
    let attempts_ended = match rule.effect {
        EgressEffect::Allow => egress::end_holders(&app, Some(rule.rule)).await?,
        EgressEffect::Deny => 0,
    };
    Ok(Json(EgressChange { rule, attempts_ended }))
}
