//! delayed → ready, when the next try is due.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use trace_contracts::RunId;

use super::{Core, Error};
use crate::{db, lease::Fenced};

/// Tasks that are woken in one transaction at most.
const BATCH: i64 = 1000;

/// Whether there may be more to wake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// A whole batch was found: look again.
    Batch,
    /// This was all.
    All,
}

/// Makes delayed tasks ready that are due by the database's clock. Their runs are locked first, so
/// that a run that is being cancelled finds each of its tasks in one place.
///
/// # Errors
/// When the database fails.
pub async fn wake(tx: &mut PgConnection, core: &Core) -> Result<Woken, Error> {
    let due = db::ready::due(tx, BATCH).await?;
    if due.is_empty() {
        return Ok(Woken::All);
    }
    let runs: BTreeSet<RunId> = due.iter().map(|task| task.run()).collect();
    let mut fenced = Fenced::lock(tx, core, &runs).await?;
    let woken = db::ready::undelay(fenced.conn(), &due).await?;
    fenced.due(woken).await?;
    let _heard_by_news = fenced.settle(&*core.wake).await?;
    let whole = i64::try_from(due.len()).unwrap_or(BATCH) >= BATCH;
    Ok(if whole { Woken::Batch } else { Woken::All })
}
