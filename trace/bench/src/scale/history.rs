//! Finished tasks, as years of use leave them.

use sqlx::PgPool;

/// Tasks of one finished run.
const RUN: u64 = 100_000;

/// Puts `tasks` finished tasks in place, in runs of [`RUN`] tasks, with rows of the width that
/// dispatching writes.
pub async fn insert(db: &PgPool, tasks: u64) -> anyhow::Result<()> {
    for _ in 0..tasks.div_ceil(RUN) {
        let size = i32::try_from(RUN)?;
        let mut tx = db.begin().await?;
        let (run,): (i64,) = sqlx::query_as(
            "insert into runs (org_id, dag_version_id, triggered_by, state, tasks_total, tasks_succeeded,
                finished_at)
            select org_id, dag_version_id, triggered_by, 'succeeded', $1, $1, now() from runs limit 1
            returning run_id",
        )
        .bind(size)
        .fetch_one(&mut *tx)
        .await?;
        sqlx::query(
            "insert into dataset_versions (dataset_version_id, dataset_id, partitions_total, partitions_done,
                manifest_sha256, manifest, objects, bytes, completed_at)
            select $1 << 20, (select min(dataset_id) from datasets), $2, $2, sha256('x'), '{}', $2, 1, now()",
        )
        .bind(run)
        .bind(size)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "insert into commits (task_id, attempt_id, worker_id, lease_token, started_at, manifest_sha256,
                manifest)
            select ($1 << 20) + n, ($1 << 20) + n, 1, gen_random_uuid(), now(), sha256(n::text::bytea),
                repeat('m', 200)
            from generate_series(0, $2 - 1) n",
        )
        .bind(run)
        .bind(size)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
    }
    sqlx::query("checkpoint").execute(db).await?;
    Ok(())
}
