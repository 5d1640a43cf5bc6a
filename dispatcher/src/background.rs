//! What the dispatcher does by itself: take back leases that ran out, ring again for tasks that
//! became due, end the object store sessions of attempts that are over.
//!
//! Several dispatchers may do all of this at once; each transition is guarded by the database.

use std::{collections::HashSet, time::Duration};

use tokio::{
    sync::broadcast::error::RecvError,
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use trace_contracts::AttemptId;
use trace_plane::Backoff;

use crate::{
    App, authority,
    db::{self, due::Due},
    liveness::News,
    queue,
    task::{
        self,
        admit::admit,
        reap::{Reaped, reap},
        wake::{Woken, wake},
    },
};

/// Starts everything; it ends with the service.
pub(crate) fn start(app: &App) -> Vec<JoinHandle<()>> {
    let hearing = queue::postgres::listen(
        app.db.clone(),
        app.signals.clone(),
        app.liveness.clone(),
        app.shutdown.clone(),
    );
    let (core, db, signals) = (app.core.clone(), app.db.clone(), app.signals.clone());
    let sending = async move { core.wake.keep_sending(&db, &signals).await };
    vec![
        tokio::spawn(hearing),
        tokio::spawn(until_shutdown(app.clone(), sending)),
        tokio::spawn(until_shutdown(app.clone(), keep_house(app.clone()))),
        tokio::spawn(until_shutdown(app.clone(), revoke(app.clone()))),
        tokio::spawn(until_shutdown(app.clone(), follow_authority(app.clone()))),
        tokio::spawn(until_shutdown(app.clone(), rotate_keys(app.clone()))),
    ]
}

async fn until_shutdown(app: App, work: impl Future<Output = ()>) {
    tokio::select! {
        () = app.shutdown.cancelled() => {}
        () = work => {}
    }
}

/// Between two looks at least this much time passes, however much there is to do.
const MIN_PAUSE: Duration = Duration::from_millis(20);

/// Looks at what is due, does it, and waits until the next thing will be: one statement a sweep
/// while nothing happens.
async fn keep_house(app: App) {
    let mut later = app.signals.later();
    loop {
        later.mark_unchanged();
        let now = Instant::now();
        let pause = match sweep(&app).await {
            Ok(due) => pause(&due, app.config.limits.sweep()),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a sweep failed");
                app.config.limits.sweep()
            }
        };
        // A new due time may be nearer than the one that is waited for.
        let _new_due_time = timeout_at(now + pause, later.changed()).await;
        let _breath = timeout_at(now + MIN_PAUSE, std::future::pending::<()>()).await;
    }
}

async fn sweep(app: &App) -> Result<Due, task::Error> {
    let mut due = look(app).await?;
    let past = |seconds: Option<f64>| seconds.is_some_and(|seconds| seconds <= 0.0);
    if past(due.next_expiry) || past(due.next_ready) || due.stale_claims {
        if past(due.next_expiry) {
            while reap_once(app).await? == Reaped::Batch {}
        }
        if past(due.next_ready) {
            while wake_once(app).await? == Woken::Batch {}
        }
        if due.stale_claims {
            db::claims::forget(&mut *app.db.acquire().await.map_err(db::Error::from)?).await?;
        }
        due = look(app).await?;
    }
    if due.unauthorised {
        authority::take_back_everything(app).await?;
    }
    if due.held {
        due.next_start = admit_held(app).await?;
    }
    // Whatever is still ready was missed, or nobody wants it.
    if due.ready {
        app.signals.tell_ready();
    }
    Ok(due)
}

/// Admits held tasks of every org that has some; answers when a rate lets the next one go.
async fn admit_held(app: &App) -> Result<Option<f64>, task::Error> {
    let orgs = db::limits::orgs_with_held(&mut *app.db.acquire().await?).await?;
    let mut next = None;
    for org in orgs {
        let mut tx = app.db.begin().await?;
        let start = admit(&mut tx, &app.core, org).await?;
        tx.commit().await?;
        next = [next, start].into_iter().flatten().reduce(f64::min);
    }
    Ok(next)
}

async fn look(app: &App) -> Result<Due, task::Error> {
    Ok(db::due::due(&mut *app.db.acquire().await?).await?)
}

async fn reap_once(app: &App) -> Result<Reaped, task::Error> {
    let mut tx = app.db.begin().await?;
    let reaped = reap(&mut tx, &app.core).await?;
    tx.commit().await?;
    Ok(reaped)
}

async fn wake_once(app: &App) -> Result<Woken, task::Error> {
    let mut tx = app.db.begin().await?;
    let woken = wake(&mut tx, &app.core).await?;
    tx.commit().await?;
    Ok(woken)
}

fn pause(due: &Due, sweep: Duration) -> Duration {
    [due.next_ready, due.next_expiry, due.next_start]
        .into_iter()
        .flatten()
        .map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(MIN_PAUSE))
        .fold(sweep, Duration::min)
        .max(MIN_PAUSE)
}

/// Keeps what this dispatcher remembers of keys and identities in step with the database.
async fn follow_authority(app: App) {
    let mut news = app.signals.authority();
    loop {
        news.mark_unchanged();
        app.identities.forget();
        let reloaded =
            async { app.keys.reload(&mut *app.db.acquire().await.map_err(db::Error::from)?).await };
        if let Err(error) = reloaded.await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the keys were not read anew");
        }
        if news.changed().await.is_err() {
            return;
        }
    }
}

/// Lets new keys sign in time. While the root of trust is away, the key that signs goes on until its
/// certificate ends.
async fn rotate_keys(app: App) {
    let Some(every) = app.config.keys.rotate_every() else { return };
    let mut news = app.signals.authority();
    let mut backoff = Backoff::default();
    loop {
        news.mark_unchanged();
        match authority::keys::rotate_when_due(&app, every).await {
            Ok(due) => {
                backoff = Backoff::default();
                let _time_or_news = timeout_at(Instant::now() + due, news.changed()).await;
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "no new key signs; trying again");
                backoff.pause().await;
            }
        }
    }
}

/// Ends the sessions of attempts that are over, however they ended.
async fn revoke(app: App) {
    let mut news = app.liveness.news();
    // Attempts that could not be revoked, to be tried again with the next news.
    let mut failed: HashSet<AttemptId> = HashSet::new();
    loop {
        match news.recv().await {
            Ok(News::Over(attempts)) => failed.extend(attempts.iter()),
            // What was missed runs out by itself.
            Ok(News::LookAgain) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
        for attempt in failed.clone() {
            match app.credentials.revoke(attempt).await {
                Ok(()) => drop(failed.remove(&attempt)),
                Err(error) => {
                    tracing::warn!(%attempt, error = &error as &dyn std::error::Error, "sessions were not revoked");
                }
            }
        }
        if failed.len() > MAX_FAILED {
            failed.clear();
        }
    }
}

/// Sessions run out by themselves: past this many there is no use in remembering them.
const MAX_FAILED: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_due_time_bounds_the_pause() {
        let sweep = Duration::from_secs(5);
        let due = |next_ready, next_expiry| Due { next_ready, next_expiry, ..Due::default() };
        assert_eq!(pause(&due(None, None), sweep), sweep);
        assert_eq!(pause(&due(Some(2.0), Some(1.0)), sweep), Duration::from_secs(1));
        assert_eq!(pause(&due(Some(60.0), None), sweep), sweep);
        assert_eq!(pause(&due(None, Some(-3.0)), sweep), MIN_PAUSE);
    }
}
