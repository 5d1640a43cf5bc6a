//! `/v1/runs`: trigger, watch, cancel.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde::Deserialize;
use serde_json::json;
use sqlx::PgConnection;
use trace_contracts::{
    ErrorCode, Name, OrgId, RunId,
    wire::user::{RunInfo, TriggerRequest},
};
use trace_plane::{Body, Refusal, Reply};

use super::{
    extract::{Id, Params, idempotency_key, limit},
    identify::forbid_caller,
    problem::{database, not_found},
};
use crate::{
    App, audit,
    dag::params,
    datasets::{self, Reader},
    db::{self, runs_read::RunFilter},
    permissions::{Permit, action},
    task::{
        cancel::{Cancelled, cancel_run},
        start_run::{NewRun, Started, start_run},
    },
};

/// Which runs to list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    /// Only this DAG's.
    dag: Option<Name>,
    /// At most this many.
    limit: Option<u32>,
    /// Only those after this one in the list, which has the newest first.
    after: Option<RunId>,
}

/// `POST /v1/dags/{name}/runs`: 201 for a new run, 200 for the one that the same
/// `Idempotency-Key` has started before.
pub(super) async fn trigger(
    permit: Permit<action::Trigger>,
    State(app): State<App>,
    Id(name): Id<Name>,
    headers: HeaderMap,
    Body(request): Body<TriggerRequest>,
) -> Reply<(StatusCode, Json<RunInfo>)> {
    let key = idempotency_key(&headers)?;
    let mut tx = app.db.begin().await.map_err(database)?;
    let current = db::dags::current(&mut tx, permit.org(), &name).await.map_err(database)?;
    let current = current.ok_or_else(|| not_found("DAG"))?;
    let params = params::of_run(&current.spec.params, request.params).map_err(|errors| {
        Refusal::new(ErrorCode::BadRequest, "the parameters do not fit the DAG; no run was started")
            .with_errors(errors)
    })?;
    let new = NewRun {
        org: permit.org(),
        dag: current.dag,
        version: current.version,
        spec: &current.spec,
        params: params.clone(),
        triggered_by: permit.user(),
        idempotency_key: key,
    };
    let started = start_run(&mut tx, &app.core, new).await?;
    let run = started.run();
    if let Started::New(_) = started {
        if let Err(error) = datasets::check_pins(&mut tx, run, Reader::from(permit.caller())).await {
            tx.rollback().await.map_err(database)?;
            return Err(unreadable(&app, &permit, &name, error).await);
        }
        audit::record(&mut tx, &permit, &name, json!({ "run": run })).await.map_err(database)?;
    } else {
        same_params(&mut tx, run, &params).await?;
    }
    let info = read(&mut tx, permit.org(), run).await?;
    tx.commit().await.map_err(database)?;
    let status = if started == Started::New(run) { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(info)))
}

async fn unreadable(
    app: &App,
    permit: &Permit<action::Trigger>,
    dag: &Name,
    error: datasets::Error,
) -> Refusal {
    match error {
        datasets::Error::Db(error) => database(error),
        refused => forbid_caller::<action::Trigger>(app, permit.caller(), dag, refused.to_string()).await,
    }
}

/// A key stands for one request: with other parameters it is a mistake of the caller's.
async fn same_params(
    tx: &mut PgConnection,
    run: RunId,
    params: &BTreeMap<String, serde_json::Value>,
) -> Reply<()> {
    let facts = db::runs::facts(tx, &[run.get()]).await.map_err(database)?;
    if facts.iter().all(|facts| facts.params == *params) {
        return Ok(());
    }
    let detail = format!("this `Idempotency-Key` started {run} with other parameters: use a new key");
    Err(Refusal::new(ErrorCode::Conflict, detail))
}

/// `GET /v1/runs`.
pub(super) async fn list(
    permit: Permit<action::View>,
    State(app): State<App>,
    Params(params): Params<ListParams>,
) -> Reply<Json<Vec<RunInfo>>> {
    let limit = limit(params.limit)?;
    let filter = RunFilter { run: None, dag: params.dag.as_deref(), before: params.after };
    let mut conn = app.db.acquire().await.map_err(database)?;
    db::runs_read::runs(&mut conn, permit.org(), filter, limit).await.map(Json).map_err(database)
}

/// `GET /v1/runs/{run}`.
pub(super) async fn one(
    permit: Permit<action::View>,
    State(app): State<App>,
    Id(run): Id<RunId>,
) -> Reply<Json<RunInfo>> {
    let mut conn = app.db.acquire().await.map_err(database)?;
    read(&mut conn, permit.org(), run).await.map(Json)
}

/// `POST /v1/runs/{run}/cancel`.
pub(super) async fn cancel(
    permit: Permit<action::Cancel>,
    State(app): State<App>,
    Id(run): Id<RunId>,
) -> Reply<Json<RunInfo>> {
    let mut tx = app.db.begin().await.map_err(database)?;
    if cancel_run(&mut tx, &app.core, permit.org(), run).await? == Cancelled::Now {
        db::runs::cancelled_by(&mut tx, run, permit.user()).await.map_err(database)?;
    }
    audit::record(&mut tx, &permit, &run.to_string(), json!({})).await.map_err(database)?;
    let info = read(&mut tx, permit.org(), run).await?;
    tx.commit().await.map_err(database)?;
    Ok(Json(info))
}

async fn read(conn: &mut PgConnection, org: OrgId, run: RunId) -> Reply<RunInfo> {
    let filter = RunFilter { run: Some(run), ..RunFilter::default() };
    let found = db::runs_read::runs(conn, org, filter, 1).await.map_err(database)?;
    found.into_iter().next().ok_or_else(|| not_found("run"))
}
