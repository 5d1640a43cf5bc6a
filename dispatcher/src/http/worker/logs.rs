//! `POST /internal/logs`.

use axum::{extract::State, http::StatusCode};
use trace_contracts::{
    ErrorCode,
    wire::{limit, worker::LogRequest},
};
use trace_controls::{Protection, stands};
use trace_plane::{Body, Refusal, Reply};

use super::Worker;
use crate::{
    App,
    db::{self, leases::ShownFence, notify::Channel},
};

/// Lines in one request at most.
const MAX_LINES: usize = 10_000;

/// Appends to an attempt's log.
pub(super) async fn logs(
    State(app): State<App>,
    Worker(worker): Worker,
    Body(request): Body<LogRequest>,
) -> Reply<StatusCode> {
    let first_seq = check(&request)?;
    let mut tx = app.db.begin().await.map_err(db::Error::from)?;
    let shown = ShownFence { worker, fence: request.fence };
    let Some(current) = db::attempts::is_current(&mut tx, &shown).await? else {
        return Err(Refusal::new(
            ErrorCode::StaleAttempt,
            "the lease is not current: stop the task and send no more of it",
        ));
    };
    db::logs::append(&mut tx, &current, first_seq, &request.lines).await?;
    // Counted afterwards, so that lines sent again count once.
    let logged = db::logs::logged_bytes(&mut tx, &current).await?;
    if logged > limit::LOG_BYTES_PER_ATTEMPT as u64 && stands(Protection::StoredLogCap) {
        return Err(Refusal::new(
            ErrorCode::LimitExceeded,
            format!("an attempt logs at most {} bytes: cut the log and say so", limit::LOG_BYTES_PER_ATTEMPT),
        ));
    }
    db::notify::send_attempts(&mut tx, Channel::Logs, &[current.attempt()]).await?;
    tx.commit().await.map_err(db::Error::from)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Checks what a log may not hold; answers the first line's number as the database counts.
fn check(request: &LogRequest) -> Reply<i64> {
    let refuse = |why: &str| Refusal::new(ErrorCode::BadRequest, why.to_owned());
    if request.lines.len() > MAX_LINES {
        return Err(refuse("too many lines in one request: send at most 10,000"));
    }
    if request.lines.iter().any(|line| line.text.contains('\0')) {
        return Err(refuse("a line holds a NUL character: replace control characters before sending"));
    }
    i64::try_from(request.first_seq)
        .ok()
        .filter(|first| first.checked_add(MAX_LINES as i64).is_some())
        .ok_or_else(|| refuse("`first_seq` is not a line's number"))
}
