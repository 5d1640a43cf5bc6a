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
    db::{
        self,
        runs_read::{Dead, TaskFilter},
    },
    permissions::{Permit, action},
    task::retry::retry_task,
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
    let known = db::runs::exists(&mut conn, permit.org(), run).await.map_err(database)?;
    let run = known.ok_or_else(|| not_found("run"))?;
    let filter = TaskFilter { run: Some(run), after: page.after, ..TaskFilter::default() };
    db::runs_read::tasks(&mut conn, permit.org(), filter, limit).await.map(Json).map_err(database)
}

/// `GET /v1/tasks/{task}`.
pub(super) async fn one(
    permit: Permit<action::View>,
    State(app): State<App>,
    Id(task): Id<TaskId>,
) -> Reply<Json<TaskInfo>> {
    let mut conn = app.db.acquire().await.map_err(database)?;
    read(&mut conn, permit.org(), task).await.map(Json)
}

/// `GET /v1/dead-letters`.
pub(super) async fn dead_letters(
    permit: Permit<action::View>,
    State(app): State<App>,
    Params(page): Params<Page<TaskId>>,
) -> Reply<Json<Vec<TaskInfo>>> {
    let limit = page.limit()?;
    let filter = TaskFilter { dead: Dead::Only, after: page.after, ..TaskFilter::default() };
    let mut conn = app.db.acquire().await.map_err(database)?;
    db::runs_read::tasks(&mut conn, permit.org(), filter, limit).await.map(Json).map_err(database)
}

/// `POST /v1/tasks/{task}/retry`.
pub(super) async fn retry(
    permit: Permit<action::Retry>,
    State(app): State<App>,
    Id(task): Id<TaskId>,
) -> Reply<Json<TaskInfo>> {
    let mut tx = app.db.begin().await.map_err(database)?;
    retry_task(&mut tx, &*app.core.wake, permit.org(), task).await?;
    audit::record(&mut tx, &permit, &task.to_string(), json!({})).await.map_err(database)?;
    let info = read(&mut tx, permit.org(), task).await?;
    tx.commit().await.map_err(database)?;
    Ok(Json(info))
}

/// A task of this org.
pub(super) async fn read(conn: &mut PgConnection, org: OrgId, task: TaskId) -> Reply<TaskInfo> {
    let filter = TaskFilter { task: Some(task), ..TaskFilter::default() };
    let found = db::runs_read::tasks(conn, org, filter, 1).await.map_err(database)?;
    found.into_iter().next().ok_or_else(|| not_found("task"))
}
