//! Which workers ask for tasks, written down now and then for `trace why`. A word a minute of each worker
//! is enough to tell "no worker" from "the workers are busy", and costs nothing on the way of a task.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use sqlx::PgPool;
use trace_contracts::WorkerId;

use crate::db;

/// Within this time another word of the same worker is not written down.
const QUIET: Duration = Duration::from_secs(60);

/// When each worker was last written down by this dispatcher.
#[derive(Debug, Default)]
pub struct Attendance(Mutex<HashMap<WorkerId, Instant>>);

impl Attendance {
    /// Whether it is time to write a worker down; then it counts as written down.
    fn is_due(&self, worker: WorkerId, now: Instant) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = seen.get(&worker).is_none_or(|last| now.duration_since(*last) >= QUIET);
        if due {
            seen.insert(worker, now);
        }
        due
    }

    /// A worker asks for tasks. It is given them whether or not this can be written down.
    pub async fn asks(&self, pool: &PgPool, worker: WorkerId) {
        if !self.is_due(worker, Instant::now()) {
            return;
        }
        let written = async { db::why::seen(&mut *pool.acquire().await?, worker).await };
        if let Err(error) = written.await {
            tracing::warn!(%worker, error = &error as &dyn std::error::Error, "a worker was not written down");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_written_down_once_a_minute() {
        let (attendance, start) = (Attendance::default(), Instant::now());
        let (one, other) = (WorkerId::from_db(1), WorkerId::from_db(2));
        assert!(attendance.is_due(one, start));
        assert!(!attendance.is_due(one, start + QUIET / 2));
        assert!(attendance.is_due(other, start + QUIET / 2));
        assert!(attendance.is_due(one, start + QUIET));
    }
}
