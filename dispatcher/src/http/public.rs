//! What anybody may ask, on the users' listener: the keys that capabilities are signed with, and
//! whether the service is up.

use axum::{
    extract::State,
    http::{HeaderValue, Method, StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use trace_plane::Reply;

use super::{Caller, Route};
use crate::{App, config::JWKS_MAX_AGE, db};

/// The public routes.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/.well-known/jwks.json", Caller::Public, get(jwks)),
        Route::new(Method::GET, "/healthz", Caller::Public, get(healthy)),
        Route::new(Method::GET, "/readyz", Caller::Public, get(ready)),
    ]
}

/// The public halves of the signing keys. The database is asked each time: a plane that asks because of a key
/// that another dispatcher has made a moment ago must find it.
async fn jwks(State(app): State<App>) -> Reply<impl IntoResponse> {
    app.keys.refresh(&mut *app.db.acquire().await.map_err(db::Error::from)?).await?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json")),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_str(&format!("public, max-age={JWKS_MAX_AGE}"))
                .unwrap_or(HeaderValue::from_static("no-store")),
        ),
    ];
    Ok((headers, app.keys.jwks()))
}

/// The process answers.
async fn healthy() -> StatusCode {
    StatusCode::NO_CONTENT
}

async fn ready(State(app): State<App>) -> Reply<StatusCode> {
    answers(&app).await.map(|()| StatusCode::NO_CONTENT)
}

/// The database answers, so that requests can be served.
pub(crate) async fn answers(app: &App) -> Reply<()> {
    let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
    Ok(db::due::ping(&mut conn).await?)
}
