//! The three listeners. Every route of this crate is listed in a table with the kind of caller that
//! it takes, and the routers are built from that table, so that a test can walk all of them.

pub mod plane;
mod problem;
pub mod public;
pub mod task;
pub mod user;
pub mod worker;

use axum::http::Method;
use axum::{Router, routing::MethodRouter};

use crate::App;

/// Who a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// Anybody.
    Public,
    /// A user with a token of the configured issuer.
    User,
    /// A task with its capability.
    Task,
    /// The runner of an attempt with its launch ticket.
    Runner,
    /// A worker with its identity.
    Worker,
    /// A plane with its identity.
    Plane,
}

/// One route.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path as axum writes it, such as `/v1/tasks/{task}`.
    pub path: &'static str,
    /// Who it takes.
    pub caller: Caller,
    handler: MethodRouter<App>,
}

impl Route {
    /// A route; `handler` is `axum::routing::get(f)` and the like, of the same method.
    pub fn new(
        method: Method,
        path: &'static str,
        caller: Caller,
        handler: impl Into<MethodRouter<App>>,
    ) -> Self {
        Self { method, path, caller, handler: handler.into() }
    }
}

/// Every route of every listener.
#[must_use]
pub fn all_routes() -> Vec<Route> {
    [user::routes(), public::routes(), task::routes(), worker::routes(), plane::routes()]
        .into_iter()
        .flatten()
        .collect()
}

/// The router of one listener.
pub fn router(routes: impl IntoIterator<Item = Route>, app: App) -> Router {
    routes
        .into_iter()
        .fold(Router::new(), |router, route| router.route(route.path, route.handler))
        .with_state(app)
}
