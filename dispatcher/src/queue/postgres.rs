//! Wake-ups by PostgreSQL: the ready row is the message, and one `NOTIFY` a transaction the bell.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::{
    PgConnection, PgPool,
    postgres::{PgListener, PgNotification},
};
use tokio_util::sync::CancellationToken;
use trace_contracts::TaskId;

use super::{Signals, WakeUps};
use crate::{
    db::{
        self,
        notify::{Channel, News},
    },
    liveness::Liveness,
};

/// Announces with one `NOTIFY`, however many tasks there are.
#[derive(Debug, Clone, Copy, Default)]
pub struct PgWakeUps;

#[async_trait]
impl WakeUps for PgWakeUps {
    async fn announce(&self, _tx: &mut PgConnection, _tasks: &[TaskId]) -> Result<Vec<News>, db::Error> {
        Ok(vec![News::plain(Channel::Ready)])
    }
}

/// A connection that can't be made is tried again after this time.
const RETRY: Duration = Duration::from_secs(1);

/// Hears what every dispatcher of this database tells, its own words included, until `shutdown`.
/// While the connection is away news are lost; so everybody who waits is made to look once it is
/// back.
pub async fn listen(db: PgPool, signals: Signals, liveness: Liveness, shutdown: CancellationToken) {
    let mut retry = tokio::time::interval(RETRY);
    retry.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            result = hear(&db, &signals, &liveness) => {
                let Err(error) = result;
                tracing::warn!(error = &error as &dyn std::error::Error, "the news channel broke; trying again");
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = retry.tick() => {}
        }
    }
}

async fn hear(
    db: &PgPool,
    signals: &Signals,
    liveness: &Liveness,
) -> Result<std::convert::Infallible, sqlx::Error> {
    let mut listener = PgListener::connect_with(db).await?;
    listener.listen_all(Channel::ALL.map(Channel::as_str)).await?;
    loop {
        look_again(signals, liveness);
        while let Some(news) = listener.try_recv().await? {
            tell(&news, signals, liveness);
        }
    }
}

fn look_again(signals: &Signals, liveness: &Liveness) {
    signals.tell_ready();
    signals.tell_later();
    signals.tell_authority();
    signals.tell_deliveries();
    liveness.look_again();
}

fn tell(news: &PgNotification, signals: &Signals, liveness: &Liveness) {
    let attempts = || db::notify::read_attempts(news.payload());
    match Channel::ALL.into_iter().find(|channel| channel.as_str() == news.channel()) {
        Some(Channel::Ready) => signals.tell_ready(),
        Some(Channel::Later) => signals.tell_later(),
        Some(Channel::Ended) => liveness.ended(&attempts()),
        Some(Channel::Cut) => liveness.cut(&attempts()),
        Some(Channel::Logs) => attempts().into_iter().for_each(|attempt| signals.tell_logs(attempt)),
        Some(Channel::Authority) => {
            signals.tell_authority();
            liveness.look_again();
        }
        Some(Channel::Deliveries) => signals.tell_deliveries(),
        None => {}
    }
}
