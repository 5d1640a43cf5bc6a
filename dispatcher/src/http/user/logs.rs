//! `/v1/tasks/{task}/logs`: what an attempt printed, as it prints it.

use std::time::Duration;

use axum::{Json, extract::State};
use tokio::{sync::broadcast, time};
use trace_contracts::{
    AttemptId, ErrorCode, OrgId, TaskId,
    wire::{
        limit,
        user::{LogReply, TaskState},
    },
};
use trace_plane::{Refusal, Reply};

use super::{
    extract::{Id, LogParams, Params},
    problem::database,
    tasks,
};
use crate::{
    App, db,
    permissions::{Permit, action},
};

/// Lines in one answer.
const MAX_LINES: i64 = 1000;
/// News of an attempt's end or first lease do not come on the logs' channel, and any news may be
/// lost: look again after this time.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// `GET /v1/tasks/{task}/logs`: the lines after `after`, or the next ones within `wait_ms`.
pub(super) async fn follow(
    permit: Permit<action::View>,
    State(app): State<App>,
    Id(task): Id<TaskId>,
    Params(params): Params<LogParams>,
) -> Reply<Json<LogReply>> {
    let wait = Duration::from_millis(params.wait_ms.unwrap_or(0).min(limit::WAIT_MS));
    let after = params.after.map(i64::try_from).transpose();
    let after = after.map_err(|_| Refusal::new(ErrorCode::BadRequest, "`after` is too large"))?;
    let wanted = Wanted { org: permit.org(), task, attempt: params.attempt, after: after.unwrap_or(-1) };
    // Listening starts before looking, so that nothing falls between the two.
    let mut news = app.signals.logs();
    let deadline = time::Instant::now() + wait;
    loop {
        let reply = look(&app, &wanted).await?;
        let over = time::Instant::now() >= deadline || app.shutdown.is_cancelled();
        if over || reply.done || !reply.lines.is_empty() {
            return Ok(Json(reply));
        }
        let until = deadline.min(time::Instant::now() + LOOK_AGAIN);
        tokio::select! {
            () = next(&mut news, reply.attempt) => {}
            () = time::sleep_until(until) => {}
            () = app.shutdown.cancelled() => {}
        }
    }
}

struct Wanted {
    org: OrgId,
    task: TaskId,
    attempt: Option<AttemptId>,
    after: i64,
}

/// Whether the attempt has ended is read before its lines: an attempt that has ended gets no more.
async fn look(app: &App, wanted: &Wanted) -> Reply<LogReply> {
    let mut conn = app.db.acquire().await.map_err(database)?;
    let Wanted { org, task, attempt, after } = *wanted;
    let found = db::runs_read::logged_attempt(&mut conn, org, task, attempt).await.map_err(database)?;
    let Some(found) = found else {
        let state = tasks::read(app, &mut conn, org, task).await?.state;
        if attempt.is_some() {
            return Err(super::problem::not_found("attempt of this task"));
        }
        let waits =
            matches!(state, TaskState::Waiting | TaskState::Queued | TaskState::Running | TaskState::Failed);
        return Ok(LogReply { attempt: None, lines: Vec::new(), done: !waits });
    };
    let lines =
        db::runs_read::log_lines(&mut conn, found.attempt, after, MAX_LINES).await.map_err(database)?;
    let all = i64::try_from(lines.len()).is_ok_and(|count| count < MAX_LINES);
    Ok(LogReply { attempt: Some(found.attempt), lines, done: found.ended && all })
}

/// Until there are news of this attempt, or some were missed.
async fn next(news: &mut broadcast::Receiver<AttemptId>, attempt: Option<AttemptId>) {
    loop {
        match news.recv().await {
            Ok(about) if Some(about) != attempt => {}
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}
