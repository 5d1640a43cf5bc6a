//! What a plane is told about a user who shows it their token.

use trace_contracts::{ErrorCode, wire::plane::ResolveUserReply};
use trace_plane::{Refusal, Reply};

use super::problem::database;
use crate::{
    App, datasets,
    permissions::{action, permit},
    users,
};

/// Verifies a user's token again and answers what they may query now, for
/// `POST /internal/users/resolve`.
///
/// # Errors
/// What the token's verification says; `forbidden` when the user or their role may not query.
pub async fn resolve_user(app: &App, unverified_token: &str) -> Reply<ResolveUserReply> {
    let identity = app.users.verify_user(unverified_token).await?;
    let mut conn = app.db.acquire().await.map_err(database)?;
    let caller = users::resolve(&mut conn, &identity).await?;
    let denied = |denied: crate::permissions::Denied| Refusal::new(ErrorCode::Forbidden, denied.to_string());
    let permit = permit::<action::Query>(caller).map_err(denied)?;
    let datasets = datasets::queryable(&mut conn, &permit).await.map_err(database)?;
    Ok(ResolveUserReply { user: permit.user(), org: permit.org(), role: permit.caller().role(), datasets })
}
