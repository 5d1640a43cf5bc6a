//! `/v1/tasks` and the dead-letter list.

use axum::{Json, extract::State};
use serde_json::json;
use sqlx::PgConnection;
use trace_contracts::{OrgId, RunId, TaskId, wire::user::TaskInfo};
use trace_plane::Reply;

use super::{
    extract::{Id, Page, Params},
    problem::{database, not_found},
};
use crate::{
    App, audit,
    permissions::{Permit, action},
    task::retry::retry_task,
    tasks,
};

/// `GET /v1/runs/{run}/tasks`.
pub(super) async fn of_run(
    permit: Permit<action::View>,
    State(app): State<App>,
    Id(run): Id<RunId>,
    Params(page): Params<Page<TaskId>>,
) -> Reply<Json<Vec<TaskInfo>>> {
    let limit = page.limit()?;
    let mut conn = app.db.acquire().await.map_err(database)?;
    let found = tasks::of_run(&mut conn, &app.core.facts, permit.org(), run, page.after, limit).await;
    found.map_err(database)?.map(Json).ok_or_else(|| not_found("run"))
}

/// `GET /v1/tasks/{task}`.
pub(super) async fn one(
    permit: Permit<action::View>,
    State(app): State<App>,
    Id(task): Id<TaskId>,
) -> Reply<Json<TaskInfo>> {
    let mut conn = app.db.acquire().await.map_err(database)?;
    read(&app, &mut conn, permit.org(), task).await.map(Json)
}

/// `GET /v1/dead-letters`.
pub(super) async fn dead_letters(
    permit: Permit<action::View>,
    State(app): State<App>,
    Params(page): Params<Page<TaskId>>,
) -> Reply<Json<Vec<TaskInfo>>> {
    let limit = page.limit()?;
    let mut conn = app.db.acquire().await.map_err(database)?;
    let found = tasks::dead(&mut conn, &app.core.facts, permit.org(), page.after, limit).await;
    found.map(Json).map_err(database)
}

/// `POST /v1/tasks/{task}/retry`.
pub(super) async fn retry(
    permit: Permit<action::Retry>,
    State(app): State<App>,
    Id(task): Id<TaskId>,
) -> Reply<Json<TaskInfo>> {
    let mut tx = app.db.begin().await.map_err(database)?;
    retry_task(&mut tx, &app.core, permit.org(), task).await?;
    audit::record(&mut tx, &permit, &task.to_string(), json!({})).await.map_err(database)?;
    let info = read(&app, &mut tx, permit.org(), task).await?;
    tx.commit().await.map_err(database)?;
    Ok(Json(info))
}

/// A task of this org.
pub(super) async fn read(app: &App, conn: &mut PgConnection, org: OrgId, task: TaskId) -> Reply<TaskInfo> {
    let found = tasks::one(conn, &app.core.facts, org, task).await.map_err(database)?;
    found.ok_or_else(|| not_found("task"))
}
