//! `/v1`, for users. Every handler takes the [`Permit`](crate::permissions::Permit) of its action,
//! so that none can run for somebody who may not, and everything it reads is bounded by the
//! permit's org: what another org has looks like what does not exist.

mod audit;
mod blobs;
mod dags;
mod datasets;
mod egress;
mod extract;
mod identify;
mod keys;
mod limits;
mod logs;
mod problem;
mod resolve;
mod runs;
mod schema;
mod tasks;
mod users;
mod webhooks;
mod why;
mod workers;

use axum::{
    Json,
    http::Method,
    routing::{delete, get, head, post, put},
};
use trace_contracts::wire::user::WhoAmI;

use super::{Caller, Route};
use crate::permissions::{Permit, action};

pub use resolve::resolve_user;

/// The routes for users.
#[must_use]
pub fn routes() -> Vec<Route> {
    let user = |method, path, handler| Route::new(method, path, Caller::User, handler);
    vec![
        user(Method::GET, "/v1/whoami", get(whoami)),
        user(Method::HEAD, "/v1/blobs/{sha256}", head(blobs::look)),
        user(Method::PUT, "/v1/blobs/{sha256}", put(blobs::upload)),
        user(Method::POST, "/v1/dags", post(dags::deploy)),
        user(Method::GET, "/v1/dags", get(dags::list)),
        user(Method::GET, "/v1/dags/{name}", get(dags::one)),
        user(Method::POST, "/v1/dags/{name}/runs", post(runs::trigger)),
        user(Method::GET, "/v1/runs", get(runs::list)),
        user(Method::GET, "/v1/runs/{run}", get(runs::one)),
        user(Method::POST, "/v1/runs/{run}/cancel", post(runs::cancel)),
        user(Method::GET, "/v1/runs/{run}/tasks", get(tasks::of_run)),
        user(Method::GET, "/v1/runs/{run}/why", get(why::run)),
        user(Method::GET, "/v1/tasks/{task}", get(tasks::one)),
        user(Method::GET, "/v1/tasks/{task}/why", get(why::task)),
        user(Method::POST, "/v1/tasks/{task}/retry", post(tasks::retry)),
        user(Method::GET, "/v1/tasks/{task}/logs", get(logs::follow)),
        user(Method::GET, "/v1/dead-letters", get(tasks::dead_letters)),
        user(Method::GET, "/v1/datasets", get(datasets::list)),
        user(Method::GET, "/v1/datasets/{name}", get(datasets::one)),
        user(Method::POST, "/v1/datasets/{name}/grants", post(datasets::grant)),
        user(Method::GET, "/v1/limits", get(limits::show)),
        user(Method::PUT, "/v1/limits", put(limits::set)),
        user(Method::GET, "/v1/egress", get(egress::list)),
        user(Method::POST, "/v1/egress", post(egress::set)),
        user(Method::DELETE, "/v1/egress/{rule}", delete(egress::remove)),
        user(Method::GET, "/v1/webhooks", get(webhooks::list)),
        user(Method::POST, "/v1/webhooks", post(webhooks::add)),
        user(Method::DELETE, "/v1/webhooks/{name}", delete(webhooks::remove)),
        user(Method::POST, "/v1/webhooks/{name}/rotate", post(webhooks::rotate)),
        user(Method::POST, "/v1/webhooks/{name}/enable", post(webhooks::enable)),
        user(Method::GET, "/v1/webhooks/{name}/deliveries", get(webhooks::deliveries)),
        user(Method::POST, "/v1/webhooks/{name}/redrive", post(webhooks::redrive)),
        user(Method::GET, "/v1/audit", get(audit::list)),
        user(Method::GET, "/v1/keys", get(keys::list)),
        user(Method::POST, "/v1/keys/rotate", post(keys::rotate)),
        user(Method::POST, "/v1/keys/{kid}/revoke", post(keys::revoke)),
        user(Method::GET, "/v1/keys/{kid}/touched", get(keys::touched)),
        user(Method::GET, "/v1/users", get(users::list)),
        user(Method::POST, "/v1/users/{user}/suspend", post(users::suspend)),
        user(Method::POST, "/v1/users/{user}/restore", post(users::restore)),
        user(Method::POST, "/v1/workers/{name}/revoke", post(workers::revoke)),
        Route::new(Method::GET, crate::dag::schema::ID, Caller::Public, get(schema::dag)),
    ]
}

async fn whoami(permit: Permit<action::WhoAmI>) -> Json<WhoAmI> {
    let caller = permit.caller();
    Json(WhoAmI {
        user: caller.user(),
        org: caller.org(),
        org_slug: caller.org_slug().to_owned(),
        role: caller.role(),
    })
}
