//! `…/why`: why a task or a run does not run, or failed.

use axum::{Json, extract::State};
use trace_contracts::{
    RunId, TaskId,
    wire::why::{RunWhy, TaskWhy},
};
use trace_plane::Reply;

use super::{
    extract::Id,
    problem::{database, not_found},
};
use crate::{
    App,
    permissions::{Permit, action},
    why,
};

/// `GET /v1/tasks/{task}/why`.
pub(super) async fn task(
    permit: Permit<action::View>,
    State(app): State<App>,
    Id(task): Id<TaskId>,
) -> Reply<Json<TaskWhy>> {
    let mut conn = app.db.acquire().await.map_err(database)?;
    let found = why::of_task(&mut conn, &app.core.facts, permit.org(), task).await.map_err(database)?;
    found.map(Json).ok_or_else(|| not_found("task"))
}

/// `GET /v1/runs/{run}/why`.
pub(super) async fn run(
    permit: Permit<action::View>,
    State(app): State<App>,
    Id(run): Id<RunId>,
) -> Reply<Json<RunWhy>> {
    let mut conn = app.db.acquire().await.map_err(database)?;
    let found = why::of_run(&mut conn, &app.core.facts, permit.org(), run).await.map_err(database)?;
    found.map(Json).ok_or_else(|| not_found("run"))
}
