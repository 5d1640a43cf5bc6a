//! `task_ends`, and where tasks stand.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use trace_contracts::{OrgId, TaskId, wire::user::TaskState};

use super::Error;

/// Ends tasks without a commit, all in the same way.
///
/// # Errors
/// When the database fails, or a task has ended before.
pub async fn end(conn: &mut PgConnection, tasks: &[TaskId], state: TaskState) -> Result<(), Error> {
    sqlx::query!(
        "-- tasks::end
        insert into task_ends (task_id, state) select t, $2 from unnest($1::bigint[]) as e(t)",
        &tasks.iter().map(|task| task.get()).collect::<Vec<_>>(),
        state.as_str()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes a task off the dead-letter list.
///
/// # Errors
/// When the database fails.
pub async fn revive(conn: &mut PgConnection, task: TaskId) -> Result<Revived, Error> {
    let revived = sqlx::query!(
        "-- tasks::revive
        delete from task_ends where task_id = $1 and state = 'dead'",
        task.get()
    )
    .execute(conn)
    .await?
    .rows_affected();
    Ok(if revived == 1 { Revived::Yes } else { Revived::WasNotDead })
}

/// What became of a dead task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revived {
    /// It is dead no more, and due with all its tries before it.
    Yes,
    /// It was not dead, and nothing changed.
    WasNotDead,
}

/// Where a task stands, as far as its rows tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its state.
    pub state: TaskState,
    /// Not before then, for one that waits for its next try.
    pub retry_at: Option<DateTime<Utc>>,
}

/// Where these tasks stand. One without a row is left out: it waits for its inputs, or was skipped.
///
/// # Errors
/// When the database fails, or a task is in two places.
pub async fn standings(conn: &mut PgConnection, tasks: &[i64]) -> Result<HashMap<TaskId, Standing>, Error> {
    let found = sqlx::query!(
        r#"-- tasks::standings
        select task_id as "task_id!", state as "state!", not_before from (
            select task_id, case when failures > 0 then 'failed' else 'queued' end as state,
                null::timestamptz as not_before
            from ready where task_id = any($1)
            union all select task_id, case when failures > 0 then 'failed' else 'queued' end, null
            from held where task_id = any($1)
            union all select task_id, 'failed', not_before from delayed where task_id = any($1)
            union all select task_id, 'running', null from leases where task_id = any($1)
            union all select task_id, 'succeeded', null from commits where task_id = any($1)
            union all select task_id, state, null from task_ends where task_id = any($1)
        ) places"#,
        tasks
    )
    .fetch_all(conn)
    .await?;
    let mut standings = HashMap::with_capacity(found.len());
    for row in found {
        let task = TaskId::from_db(row.task_id);
        let standing = Standing { state: state(&row.state)?, retry_at: row.not_before };
        if let Some(other) = standings.insert(task, standing) {
            return Err(Error::corrupt(
                "a task",
                format!("{task} is {} and {}", other.state.as_str(), row.state),
            ));
        }
    }
    Ok(standings)
}

/// Dead tasks of an org after `after`, in the order of their ids.
///
/// # Errors
/// When the database fails.
pub async fn dead(
    conn: &mut PgConnection,
    org: OrgId,
    after: Option<TaskId>,
    limit: i64,
) -> Result<Vec<TaskId>, Error> {
    let found = sqlx::query_scalar!(
        "-- tasks::dead
        select e.task_id from task_ends e join runs r on r.run_id = e.task_id >> 20
        where e.state = 'dead' and r.org_id = $1 and ($2::bigint is null or e.task_id > $2)
        order by e.task_id limit $3",
        org.get(),
        after.map(TaskId::get),
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().map(TaskId::from_db).collect())
}

fn state(text: &str) -> Result<TaskState, Error> {
    TaskState::ALL
        .into_iter()
        .find(|state| state.as_str() == text)
        .ok_or_else(|| Error::corrupt("a task's state", text))
}
