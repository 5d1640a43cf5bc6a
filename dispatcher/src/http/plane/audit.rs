//! `POST /internal/audit`.

use axum::{extract::State, http::StatusCode};
use trace_contracts::{
    ErrorCode,
    wire::{limit, plane::AuditRequest},
};
use trace_plane::{Body, Refusal, Reply};

use super::Plane;
use crate::{App, db};

/// A text of an entry has at most this many bytes.
const MAX_TEXT: usize = 1024;
/// An entry's detail has at most this many bytes.
const MAX_DETAIL: usize = 16 * 1024;

/// Appends to the audit log.
pub(super) async fn audit(
    State(app): State<App>,
    _: Plane,
    Body(request): Body<AuditRequest>,
) -> Reply<StatusCode> {
    if request.entries.len() > limit::BATCH_ITEMS {
        let most = limit::BATCH_ITEMS;
        return Err(Refusal::new(ErrorCode::BadRequest, format!("send at most {most} entries")));
    }
    for entry in &request.entries {
        let detail = entry.detail.to_string();
        let texts = [&entry.action, &entry.object];
        if texts.iter().any(|text| text.len() > MAX_TEXT || text.contains('\0')) {
            return Err(Refusal::new(
                ErrorCode::BadRequest,
                "an entry's action and object are short texts without control characters",
            ));
        }
        // JSON's own escape for NUL is what PostgreSQL refuses.
        if detail.len() > MAX_DETAIL || detail.contains("\\u0000") {
            return Err(Refusal::new(
                ErrorCode::BadRequest,
                format!("an entry's detail has at most {MAX_DETAIL} bytes and no NUL"),
            ));
        }
    }
    let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
    db::audit::append(&mut conn, &request.entries).await?;
    Ok(StatusCode::NO_CONTENT)
}
