//! `POST /v1/task/token`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use axum::{Json, extract::State};
use chrono::Utc;
use sqlx::PgConnection;
use trace_contracts::{
    Audience, EgressGrant, ErrorCode, Grants,
    wire::task::{TokenReply, TokenRequest},
};
use trace_plane::{Body, Refusal, Reply};

use super::LiveTask;
use crate::{App, config::Egress, db, egress::Policies, facts::RunFacts, mint::Subject};

/// The same grants for another audience, or for the same one with a later end: those of them that the
/// audience has to know, and of what may be reached outside, what an admin's rules allow now.
pub(super) async fn token(
    State(app): State<App>,
    task: LiveTask,
    Body(request): Body<TokenRequest>,
) -> Reply<Json<TokenReply>> {
    let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
    let facts = app.core.facts.one(&mut conn, task.lease.run()).await?;
    let allowed = still_allowed(&mut conn, app.config.egress, &task, &facts).await?;
    if request.audience == Audience::Egress && allowed.is_empty() {
        return Err(nothing_outside(app.config.egress));
    }
    let signer = app.minter.signer(&mut conn).await?;
    drop(conn);
    let grants = &for_audience(task.capability.grants(), request.audience, allowed);
    let subject = Subject {
        lease: &task.lease,
        org: task.capability.org(),
        grants,
        timeout: Duration::from_millis(facts.place(task.lease.task)?.spec.timeout_ms),
    };
    Ok(Json(signer.mint(subject, request.audience, Utc::now())?))
}

/// What of the task's destinations it may still reach. Never more than its capability says.
async fn still_allowed(
    conn: &mut PgConnection,
    way_out: Egress,
    task: &LiveTask,
    facts: &RunFacts,
) -> Result<Vec<EgressGrant>, db::Error> {
    let held = &task.capability.grants().egress;
    if held.is_empty() {
        return Ok(Vec::new());
    }
    let policies = Policies::of(conn, way_out, &BTreeSet::from([facts.org])).await?;
    Ok(policies.allowed(facts.org, &facts.spec.name, held))
}

/// No plane is told of a task's grants on another one, but for the dispatcher, where they are exchanged.
fn for_audience(held: &Grants, audience: Audience, egress: Vec<EgressGrant>) -> Grants {
    match audience {
        Audience::Dispatcher => Grants { egress, ..held.clone() },
        Audience::Query => Grants { egress: Vec::new(), ..held.clone() },
        Audience::Egress => Grants { inputs: BTreeMap::new(), egress, ..held.clone() },
    }
}

fn nothing_outside(way_out: Egress) -> Refusal {
    let detail = match way_out {
        Egress::None => "nothing outside can be reached, because this platform has no egress gateway",
        Egress::Gateway => {
            "this task may reach nothing outside: declare `egress` in the job, and have an admin allow it \
             (`trace egress allow`)"
        }
    };
    Refusal::new(ErrorCode::Forbidden, detail)
}
