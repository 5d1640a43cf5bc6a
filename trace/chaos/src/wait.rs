//! Waiting for conditions.

use std::time::Duration;

use anyhow::bail;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until `look` finds something.
///
/// # Errors
/// When it has not within `patience`.
pub async fn until<T>(
    what: &str,
    patience: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let looking = async {
        loop {
            ticks.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    };
    match timeout(patience, looking).await {
        Ok(found) => Ok(found),
        Err(_elapsed) => bail!("{what}: not within {patience:?}"),
    }
}

/// Waits until something that can be seen at once holds.
///
/// # Errors
/// When it does not within `patience`.
pub async fn until_seen(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> bool + Send,
) -> anyhow::Result<()> {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let looking = async {
        while !look() {
            ticks.tick().await;
        }
    };
    match timeout(patience, looking).await {
        Ok(()) => Ok(()),
        Err(_elapsed) => bail!("{what}: not within {patience:?}"),
    }
}

/// Lets time pass. For the length of a fault, never in place of a condition.
pub async fn pass(time: Duration) {
    let _passed = timeout(time, std::future::pending::<()>()).await;
}
