//! `/internal/launch/…`: attempts that a worker starts in containers of their own.

use std::time::Duration;

use axum::{Json, extract::State};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, sleep_until},
};
use trace_contracts::{
    AttemptId, ErrorCode, LaunchTicket,
    wire::{
        launch::{Event, OverReply, OverRequest, TicketReply, TicketRequest, WatchReply, WatchRequest},
        limit,
    },
};
use trace_plane::{Body, Refusal, Reply};

use super::{Worker, bounded};
use crate::{
    App,
    db::{self, attempts::Current, leases::ShownFence},
};

/// Events in one answer: of those that are full, what fits a few megabytes.
const EVENTS: i64 = 128;
/// News of an attempt's end do not come on the channel that is listened to, and any may be lost.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

fn stale() -> Refusal {
    Refusal::new(ErrorCode::StaleAttempt, "the lease is not current: stop what runs for it")
}

/// A ticket for the runner of an attempt.
pub(super) async fn ticket(
    State(app): State<App>,
    Worker(worker): Worker,
    Body(request): Body<TicketRequest>,
) -> Reply<Json<TicketReply>> {
    let mut tx = app.db.begin().await.map_err(db::Error::from)?;
    let shown = ShownFence { worker, fence: request.fence };
    let current = db::attempts::is_current(&mut tx, &shown).await?.ok_or_else(stale)?;
    let (ticket, valid) = (LaunchTicket::random(), app.config.limits.launch_ticket());
    let Some(expires_at) = db::launches::issue(&mut tx, &current, &ticket, valid).await? else {
        return Err(Refusal::new(ErrorCode::Conflict, "the ticket of this attempt was redeemed already"));
    };
    db::launches::clear(&mut tx).await?;
    tx.commit().await.map_err(db::Error::from)?;
    let valid_ms = u64::try_from(valid.as_millis()).unwrap_or(u64::MAX);
    Ok(Json(TicketReply { ticket, expires_at, valid_ms }))
}

/// What the runner of an attempt has reported since.
pub(super) async fn watch(
    State(app): State<App>,
    Worker(worker): Worker,
    Body(request): Body<WatchRequest>,
) -> Reply<Json<WatchReply>> {
    let taken = i64::try_from(request.taken);
    let taken = taken.map_err(|_| Refusal::new(ErrorCode::BadRequest, "`taken` is too large"))?;
    let shown = ShownFence { worker, fence: request.fence };
    // Listening starts before looking, so that nothing falls between the two.
    let mut news = app.signals.logs();
    let deadline = Instant::now() + Duration::from_millis(request.wait_ms.min(limit::WAIT_MS));
    loop {
        let reply = look(&app, &shown, taken).await?;
        let is_news = reply.stage != request.stage || !reply.events.is_empty();
        if is_news || Instant::now() >= deadline || app.shutdown.is_cancelled() {
            return Ok(Json(reply));
        }
        tokio::select! {
            () = next(&mut news, request.fence.attempt) => {}
            () = sleep_until(deadline.min(Instant::now() + LOOK_AGAIN)) => {}
            () = app.shutdown.cancelled() => {}
        }
    }
}

async fn look(app: &App, shown: &ShownFence, taken: i64) -> Reply<WatchReply> {
    let mut tx = app.db.begin().await.map_err(db::Error::from)?;
    let current = db::attempts::is_current(&mut tx, shown).await?.ok_or_else(stale)?;
    let Some(stage) = db::launches::stage(&mut tx, &current).await? else {
        return Err(Refusal::new(
            ErrorCode::Conflict,
            "there is no ticket of this attempt: ask for one first",
        ));
    };
    db::launches::drop_taken(&mut tx, &current, taken).await?;
    let events = read(&mut tx, &current, taken).await?;
    tx.commit().await.map_err(db::Error::from)?;
    Ok(WatchReply { stage, events })
}

/// The next events, as far as there is no gap: a report that was overtaken by a later one may still come.
async fn read(conn: &mut sqlx::PgConnection, current: &Current, taken: i64) -> Result<Vec<Event>, db::Error> {
    let rows = db::launches::events(conn, current, taken, EVENTS).await?;
    let in_order = rows.into_iter().zip(taken..).take_while(|((seq, _), expected)| seq == expected);
    in_order
        .map(|((_, event), _)| {
            serde_json::from_str(&event).map_err(|error| db::Error::corrupt("an event of a runner", error))
        })
        .collect()
}

/// Until there are news of this attempt, or some were missed.
async fn next(news: &mut Receiver<AttemptId>, attempt: AttemptId) {
    loop {
        match news.recv().await {
            Ok(about) if about != attempt => {}
            Ok(_) | Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Which attempts are over.
pub(super) async fn over(
    State(app): State<App>,
    Worker(_): Worker,
    Body(request): Body<OverRequest>,
) -> Reply<Json<OverReply>> {
    bounded(&request.attempts)?;
    let attempts: Vec<i64> = request.attempts.iter().map(|attempt| attempt.get()).collect();
    let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
    Ok(Json(OverReply { over: db::leases::dead(&mut conn, &attempts).await? }))
}
