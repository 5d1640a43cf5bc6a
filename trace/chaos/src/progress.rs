//! How far a run is: the tasks that have ended, read from the server itself.

use std::time::Duration;

use sqlx::PgConnection;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use crate::cluster::Server;

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(30);
/// A server that does not answer by then is away; what was last seen stands.
const PATIENCE: Duration = Duration::from_secs(1);

/// Looks again and again, until the handle is dropped.
pub fn follow(server: Server) -> (watch::Receiver<u64>, AbortOnDropHandle<()>) {
    let (sender, progress) = watch::channel(0);
    let looking = tokio::spawn(async move {
        let mut connection = None;
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match timeout(PATIENCE, look(&server, &mut connection)).await {
                Ok(Ok(ended)) => drop(sender.send_replace(ended)),
                _away => connection = None,
            }
        }
    });
    (progress, AbortOnDropHandle::new(looking))
}

async fn look(server: &Server, connection: &mut Option<PgConnection>) -> anyhow::Result<u64> {
    let open = match connection {
        Some(open) => open,
        None => connection.insert(server.connect().await?),
    };
    let ended: i64 =
        sqlx::query_scalar("select (select count(*) from commits) + (select count(*) from task_ends)")
            .fetch_one(open)
            .await?;
    Ok(ended.unsigned_abs())
}
