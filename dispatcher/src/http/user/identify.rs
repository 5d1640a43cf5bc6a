//! From a request's headers to a permit. Forwarded identity headers are not looked at.

use axum::{extract::FromRequestParts, http::request::Parts};
use sqlx::PgPool;
use trace_contracts::{ErrorCode, OrgId, UserId};
use trace_plane::{Refusal, Reply, bearer};

use super::problem::database;
use crate::{
    App,
    audit::{self, Refused},
    permissions::{Act, Permit, permit},
    users::{self, Caller},
};

impl<A: Act> FromRequestParts<App> for Permit<A> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let identity = app.users.verify_user(bearer(&parts.headers)?).await?;
        let resolved = {
            let mut conn = app.db.acquire().await.map_err(database)?;
            users::resolve(&mut conn, &identity).await
        };
        let action = A::ACTION.as_str();
        let path = parts.uri.path();
        let caller = match resolved {
            Err(users::Error::Suspended { user, org }) => {
                let why = users::Error::Suspended { user, org }.to_string();
                return Err(forbid(&app.db, user, org, action, path, why).await);
            }
            resolved => resolved?,
        };
        let (user, org) = (caller.user(), caller.org());
        match permit::<A>(caller) {
            Ok(permit) => Ok(permit),
            Err(denied) => Err(forbid(&app.db, user, org, action, path, denied.to_string()).await),
        }
    }
}

/// A permit for what concerns every org: only admins of the platform's own org get one.
pub(super) struct PlatformPermit<A>(pub(super) Permit<A>);

impl<A: Act> FromRequestParts<App> for PlatformPermit<A> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let permit = Permit::<A>::from_request_parts(parts, app).await?;
        let why = match &app.config.keys.platform_org {
            Some(org) if **org == *permit.caller().org_slug() => return Ok(Self(permit)),
            Some(_) => "this concerns every org: ask an admin of the platform's own org",
            None => "this concerns every org: the operator has to set `keys: { platform_org: … }` first",
        };
        let path = parts.uri.path();
        Err(forbid_caller::<A>(app, permit.caller(), path, why.to_owned()).await)
    }
}

/// The refusal of somebody who is known and may not, which is in the audit log before it is said.
pub(super) async fn forbid(
    db: &PgPool,
    user: UserId,
    org: OrgId,
    action: &str,
    object: &str,
    why: String,
) -> Refusal {
    match write_down(db, &Refused { user, org, action, object, why: &why }).await {
        Ok(()) => Refusal::new(ErrorCode::Forbidden, why),
        Err(refusal) => refusal,
    }
}

async fn write_down(db: &PgPool, refused: &Refused<'_>) -> Reply<()> {
    let mut conn = db.acquire().await.map_err(database)?;
    audit::refused(&mut conn, refused).await.map_err(database)
}

/// The same for what a handler finds out later.
pub(super) async fn forbid_caller<A: Act>(app: &App, caller: &Caller, object: &str, why: String) -> Refusal {
    forbid(&app.db, caller.user(), caller.org(), A::ACTION.as_str(), object, why).await
}
