//! What a plane is told about a user who shows it their token.

use trace_contracts::wire::plane::ResolveUserReply;
use trace_plane::Reply;

use super::{identify::forbid, problem::database};
use crate::{
    App, datasets,
    permissions::{Act, action, permit},
    users,
};

/// What is refused, in the audit log.
const QUERY: &str = action::Query::ACTION.as_str();
/// Where it was asked for.
const PATH: &str = "/v1/query";

/// Verifies a user's token again and answers what they may query now, for
/// `POST /internal/users/resolve`. Who is known and may not is in the audit log before it is said.
///
/// # Errors
/// What the token's verification says; `forbidden` when the user or their role may not query.
pub async fn resolve_user(app: &App, unverified_token: &str) -> Reply<ResolveUserReply> {
    let identity = app.users.verify_user(unverified_token).await?;
    let mut conn = app.db.acquire().await.map_err(database)?;
    let caller = match users::resolve(&mut conn, &identity).await {
        Err(users::Error::Suspended { user, org }) => {
            drop(conn);
            let why = users::Error::Suspended { user, org }.to_string();
            return Err(forbid(&app.db, user, org, QUERY, PATH, why).await);
        }
        resolved => resolved?,
    };
    let (user, org) = (caller.user(), caller.org());
    let permit = match permit::<action::Query>(caller) {
        Ok(permit) => permit,
        Err(denied) => {
            drop(conn);
            return Err(forbid(&app.db, user, org, QUERY, PATH, denied.to_string()).await);
        }
    };
    let datasets = datasets::queryable(&mut conn, &permit).await.map_err(database)?;
    Ok(ResolveUserReply { user: permit.user(), org: permit.org(), role: permit.caller().role(), datasets })
}
