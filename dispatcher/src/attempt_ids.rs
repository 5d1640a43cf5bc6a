//! Numbers for new attempts, reserved ahead.
//!
//! A claim commits without waiting for the disk: if PostgreSQL crashes just then, the lease is gone,
//! its worker is told so at the next heartbeat, and the task is claimed again. But the number of such
//! an attempt must never be given out again, because it keys tokens and output prefixes. So numbers
//! are reserved in blocks by a commit that does wait, before the first of them is used.

use std::{ops::Range, sync::Arc};

use sqlx::PgPool;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::db;

/// Numbers that this dispatcher may give to attempts; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct AttemptIds(Arc<Mutex<Range<i64>>>);

/// Reserved numbers, to be used from the first on. Those that are not used stay reserved.
#[derive(Debug)]
pub struct Reserved(OwnedMutexGuard<Range<i64>>);

impl AttemptIds {
    /// At least `count` numbers that follow each other, [`db::claims::ATTEMPT_BLOCK`] at most.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reserve(&self, db: &PgPool, count: usize) -> Result<Reserved, db::Error> {
        let mut left = Arc::clone(&self.0).lock_owned().await;
        let count = i64::try_from(count).unwrap_or(i64::MAX).min(db::claims::ATTEMPT_BLOCK);
        if left.end - left.start < count {
            let first = db::claims::reserve_attempts(&mut *db.acquire().await?).await?;
            *left = first..first + db::claims::ATTEMPT_BLOCK;
        }
        Ok(Reserved(left))
    }
}

impl Reserved {
    /// The number that is used next.
    #[must_use]
    pub fn next(&self) -> i64 {
        self.0.start
    }

    /// Numbers that are left.
    #[must_use]
    pub fn left(&self) -> usize {
        usize::try_from(self.0.end - self.0.start).unwrap_or_default()
    }

    /// Says that the next `count` numbers were used, whatever becomes of their transaction.
    pub fn used(&mut self, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.0.start = self.0.start.saturating_add(count).min(self.0.end);
    }
}
