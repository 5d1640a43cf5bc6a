//! `GET /v1/task/context`.

use axum::{Json, extract::State};
use trace_contracts::wire::task::ContextReply;
use trace_plane::Reply;

use super::LiveTask;
use crate::{App, db};

/// What the task is, without secrets.
pub(super) async fn context(State(app): State<App>, task: LiveTask) -> Reply<Json<ContextReply>> {
    let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
    let facts = app.core.facts.one(&mut conn, task.lease.run()).await?;
    let place = facts.place(task.lease.task)?;
    let grants = task.capability.grants();
    Ok(Json(ContextReply {
        task: task.lease.task,
        attempt: task.lease.attempt,
        run: task.lease.run(),
        dag: facts.spec.name.clone(),
        job: place.spec.name.clone(),
        partition: place.partition.clone(),
        params: facts.params.clone(),
        inputs: grants.inputs.keys().cloned().collect(),
        output: grants.output.clone(),
        scratch: grants.scratch.clone(),
        failures: task.lease.failures,
    }))
}
