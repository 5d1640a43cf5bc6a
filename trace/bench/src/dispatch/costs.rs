//! What PostgreSQL was made to do.

use serde::Serialize;
use sqlx::PgPool;

/// Counters of the server at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Counters {
    wal_bytes: i64,
    writers: i64,
    transactions: i64,
}

/// What happened between two moments, a task.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Costs {
    /// Bytes of the write-ahead log.
    pub wal_bytes_per_task: f64,
    /// Transactions that wrote something.
    pub commits_per_task: f64,
    /// Transactions of any kind, those that only read included.
    pub transactions_per_task: f64,
}

/// How safe a commit is.
#[derive(Debug, Clone, Serialize)]
pub struct Durability {
    /// `fsync`.
    pub fsync: String,
    /// `synchronous_commit`.
    pub synchronous_commit: String,
    /// `full_page_writes`.
    pub full_page_writes: String,
}

impl Counters {
    /// Reads them.
    pub async fn read(db: &PgPool) -> anyhow::Result<Self> {
        let (wal_bytes, writers): (i64, i64) = sqlx::query_as(
            "select (pg_current_wal_insert_lsn() - '0/0')::bigint, pg_current_xact_id()::text::bigint",
        )
        .fetch_one(db)
        .await?;
        let (transactions,): (i64,) =
            sqlx::query_as("select sum(xact_commit)::bigint from pg_stat_database").fetch_one(db).await?;
        Ok(Self { wal_bytes, writers, transactions })
    }

    /// What happened since, divided among `tasks`.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
    pub fn until(self, later: Self, tasks: u64) -> Costs {
        let per_task =
            |before: i64, after: i64| crate::statistics::rounded((after - before) as f64 / tasks as f64);
        Costs {
            wal_bytes_per_task: per_task(self.wal_bytes, later.wal_bytes),
            commits_per_task: per_task(self.writers, later.writers),
            transactions_per_task: per_task(self.transactions, later.transactions),
        }
    }
}

impl Durability {
    /// Reads it from the server.
    pub async fn read(db: &PgPool) -> anyhow::Result<Self> {
        let (fsync, synchronous_commit, full_page_writes) = sqlx::query_as(
            "select current_setting('fsync'), current_setting('synchronous_commit'),
                current_setting('full_page_writes')",
        )
        .fetch_one(db)
        .await?;
        Ok(Self { fsync, synchronous_commit, full_page_writes })
    }
}
