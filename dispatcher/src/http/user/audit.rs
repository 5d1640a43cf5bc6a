//! `/v1/audit`: the log, for auditors and admins. Who reads it is in it, too.

use axum::{Json, extract::State};
use serde_json::json;
use trace_contracts::wire::plane::AuditRecord;
use trace_plane::Reply;

use super::{
    extract::{Page, Params},
    problem::database,
};
use crate::{
    App, audit, db,
    permissions::{Permit, action},
};

/// `GET /v1/audit`: oldest first.
pub(super) async fn list(
    permit: Permit<action::ReadAudit>,
    State(app): State<App>,
    Params(page): Params<Page<i64>>,
) -> Reply<Json<Vec<AuditRecord>>> {
    let (after, limit) = (page.after.unwrap_or(0), page.limit()?);
    let mut tx = app.db.begin().await.map_err(database)?;
    let records = db::audit::page(&mut tx, permit.org(), after, limit).await.map_err(database)?;
    let detail = json!({ "after": after, "records": records.len() });
    audit::record(&mut tx, &permit, "audit", detail).await.map_err(database)?;
    tx.commit().await.map_err(database)?;
    Ok(Json(records))
}
