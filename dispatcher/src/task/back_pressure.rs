//! Whether an org has room for another run.

use sqlx::PgConnection;
use trace_contracts::OrgId;

use super::Error;
use crate::db;

/// No run is started, because a limit of the org has no room for it.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum NoRoom {
    /// Enough runs have started in the last hour.
    #[error(
        "your org may start {most} runs an hour, and has: try again in {} s, or ask an admin for more \
         (`trace limits set --runs-an-hour`); no run was started", .retry_after.ceil()
    )]
    RunsAnHour {
        /// The limit.
        most: u32,
        /// Seconds until one may start.
        retry_after: f64,
    },
    /// Enough tasks wait.
    #[error(
        "your org may have {most} tasks queued; it has {queued}, and this run would add {asked} at once: try \
         again when some are done, cancel a run, or ask an admin for more (`trace limits set --queued-tasks`); \
         no run was started"
    )]
    QueuedTasks {
        /// The limit.
        most: u32,
        /// Tasks that wait.
        queued: u64,
        /// Tasks that the run would add at once.
        asked: usize,
    },
    /// The run alone would pass the limit, however long anybody waits.
    #[error(
        "this run would add {asked} tasks at once, and your org may have {most} queued: ask an admin for more \
         (`trace limits set --queued-tasks`), or start fewer partitions at once; no run was started"
    )]
    TooLarge {
        /// The limit.
        most: u32,
        /// Tasks that the run would add at once.
        asked: usize,
    },
}

/// When to look again while tasks are queued: nobody knows when they are done, so soon.
const QUEUE_RETRY_SECONDS: u32 = 5;

impl NoRoom {
    /// Seconds after which trying again may help; absent when it will not.
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            Self::RunsAnHour { retry_after, .. } => Some(retry_after.ceil().clamp(1.0, 3_600.0) as u32),
            Self::QueuedTasks { .. } => Some(QUEUE_RETRY_SECONDS),
            Self::TooLarge { .. } => None,
        }
    }
}

/// Checks that an org has room for a run that adds `asked` tasks at once. Runs of an org with such a limit
/// start one after another, so that no two of them take the same room.
///
/// # Errors
/// [`Error::NoRoom`] when it has not.
pub async fn check(tx: &mut PgConnection, org: OrgId, asked: usize) -> Result<(), Error> {
    let limits = db::org_limits::fixed(tx, org).await?;
    if limits.runs_an_hour.is_some() || limits.queued_tasks.is_some() {
        db::limits::lock(tx, org).await?;
    }
    if let Some(most) = limits.runs_an_hour
        && let Some(retry_after) = db::org_limits::next_run_in(tx, org, most).await?
    {
        return Err(NoRoom::RunsAnHour { most, retry_after }.into());
    }
    let Some(most) = limits.queued_tasks else { return Ok(()) };
    let room = u64::from(most);
    let added = u64::try_from(asked).unwrap_or(u64::MAX);
    if added > room {
        return Err(NoRoom::TooLarge { most, asked }.into());
    }
    let queued = db::org_limits::queued(tx, org).await?;
    if queued.saturating_add(added) > room {
        return Err(NoRoom::QueuedTasks { most, queued, asked }.into());
    }
    Ok(())
}
