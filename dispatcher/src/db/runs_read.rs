//! Runs and tasks as people read them. A task's state is told by which table its row is in.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use trace_contracts::{
    AttemptId, DagVersionId, OrgId, RunId, TaskId,
    wire::{
        user::{AttemptInfo, NumberedLogLine, RunInfo, RunState, TaskCounts, TaskInfo, TaskState},
        worker::LogStream,
    },
};

use super::Error;

/// Which runs to read.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunFilter<'a> {
    /// Only this one.
    pub run: Option<RunId>,
    /// Only this DAG's.
    pub dag: Option<&'a str>,
    /// Only older ones than this.
    pub before: Option<RunId>,
}

/// Which tasks to read.
#[derive(Debug, Clone, Copy, Default)]
pub struct TaskFilter {
    /// Only this one.
    pub task: Option<TaskId>,
    /// Only this run's.
    pub run: Option<RunId>,
    /// Only this state's, of those that ended.
    pub dead: Dead,
    /// Only those after this one.
    pub after: Option<TaskId>,
}

/// Whether to read dead tasks only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Dead {
    /// Tasks of every state.
    #[default]
    Any,
    /// The dead-letter list.
    Only,
}

/// Attempts of one task that are shown: the newest.
const ATTEMPTS_SHOWN: i64 = 50;

/// Runs of an org, newest first.
///
/// # Errors
/// When the database fails, or a row can't be read.
pub async fn runs(
    conn: &mut PgConnection,
    org: OrgId,
    filter: RunFilter<'_>,
    limit: i64,
) -> Result<Vec<RunInfo>, Error> {
    let found = sqlx::query!(
        r#"-- runs_read::runs
        select r.run_id, d.name as dag, r.dag_version_id, r.state, r.tasks_total, r.created_at, r.finished_at
        from runs r
        join dag_versions v on v.dag_version_id = r.dag_version_id
        join dags d on d.dag_id = v.dag_id
        where r.org_id = $1 and ($2::bigint is null or r.run_id = $2)
            and ($3::text is null or d.name = $3) and ($4::bigint is null or r.run_id < $4)
        order by r.run_id desc limit $5"#,
        org.get(),
        filter.run.map(RunId::get),
        filter.dag,
        filter.before.map(RunId::get),
        limit
    )
    .fetch_all(&mut *conn)
    .await?;
    let ids: Vec<i64> = found.iter().map(|row| row.run_id).collect();
    let created = counts(conn, &ids).await?;
    found
        .into_iter()
        .map(|row| {
            let state = run_state(&row.state)?;
            let created = created.get(&row.run_id).copied().unwrap_or_default();
            let total = u64::try_from(row.tasks_total).map_err(|error| Error::corrupt("a count", error))?;
            Ok(RunInfo {
                run: RunId::from_db(row.run_id),
                dag: super::name(&row.dag)?,
                version: DagVersionId::from_db(row.dag_version_id),
                state,
                tasks: with_uncreated(created, total, state),
                created_at: row.created_at,
                finished_at: row.finished_at,
            })
        })
        .collect()
}

/// Tasks that have no row yet wait while the run goes on, and are skipped once it has ended.
fn with_uncreated(mut counts: TaskCounts, total: u64, state: RunState) -> TaskCounts {
    let TaskCounts { waiting: _, queued, running, failed, succeeded, dead, cancelled, skipped } = counts;
    let created = queued + running + failed + succeeded + dead + cancelled + skipped;
    let uncreated = total.saturating_sub(created);
    if state == RunState::Running {
        counts.waiting = uncreated;
    } else {
        counts.skipped += uncreated;
    }
    counts
}

async fn counts(conn: &mut PgConnection, runs: &[i64]) -> Result<HashMap<i64, TaskCounts>, Error> {
    let found = sqlx::query!(
        r#"-- runs_read::counts
        select t.run_id,
            count(*) filter (where q.failures = 0) as "queued!",
            count(*) filter (where q.failures > 0) as "failed!",
            count(l.task_id) as "running!",
            count(*) filter (where e.state = 'succeeded') as "succeeded!",
            count(*) filter (where e.state = 'dead') as "dead!",
            count(*) filter (where e.state = 'cancelled') as "cancelled!",
            count(*) filter (where e.state = 'skipped') as "skipped!"
        from tasks t
        left join task_ends e on e.task_id = t.task_id
        left join leases l on l.task_id = t.task_id
        left join ready q on q.task_id = t.task_id
        where t.run_id = any($1)
        group by t.run_id"#,
        runs
    )
    .fetch_all(conn)
    .await?;
    let count = |number: i64| u64::try_from(number).map_err(|error| Error::corrupt("a count", error));
    found
        .into_iter()
        .map(|row| {
            let counts = TaskCounts {
                waiting: 0,
                queued: count(row.queued)?,
                running: count(row.running)?,
                failed: count(row.failed)?,
                succeeded: count(row.succeeded)?,
                dead: count(row.dead)?,
                cancelled: count(row.cancelled)?,
                skipped: count(row.skipped)?,
            };
            Ok((row.run_id, counts))
        })
        .collect()
}

/// Tasks of an org, oldest first, each with its attempts.
///
/// # Errors
/// When the database fails, or a row can't be read.
pub async fn tasks(
    conn: &mut PgConnection,
    org: OrgId,
    filter: TaskFilter,
    limit: i64,
) -> Result<Vec<TaskInfo>, Error> {
    let found = sqlx::query!(
        r#"-- runs_read::tasks
        select t.task_id, t.run_id, t.partition, v.spec -> 'jobs' -> t.job_no ->> 'name' as "job!",
            e.state as "ended?", l.task_id as "leased?", q.failures as "failures?", q.not_before as "not_before?"
        from tasks t
        join runs r on r.run_id = t.run_id
        join dag_versions v on v.dag_version_id = r.dag_version_id
        left join task_ends e on e.task_id = t.task_id
        left join leases l on l.task_id = t.task_id
        left join ready q on q.task_id = t.task_id
        where r.org_id = $1 and ($2::bigint is null or t.task_id = $2)
            and ($3::bigint is null or t.run_id = $3) and (not $4 or e.state = 'dead')
            and ($5::bigint is null or t.task_id > $5)
        order by t.task_id limit $6"#,
        org.get(),
        filter.task.map(TaskId::get),
        filter.run.map(RunId::get),
        filter.dead == Dead::Only,
        filter.after.map(TaskId::get),
        limit
    )
    .fetch_all(&mut *conn)
    .await?;
    let ids: Vec<i64> = found.iter().map(|row| row.task_id).collect();
    let mut attempts = attempts(conn, &ids).await?;
    found
        .into_iter()
        .map(|row| {
            let state = task_state(row.ended.as_deref(), row.leased.is_some(), row.failures)?;
            Ok(TaskInfo {
                task: TaskId::from_db(row.task_id),
                run: RunId::from_db(row.run_id),
                job: super::name(&row.job)?,
                partition: super::partition(&row.partition)?,
                state,
                attempts: attempts.remove(&row.task_id).unwrap_or_default(),
                retry_at: row.not_before.filter(|_| state == TaskState::Failed),
            })
        })
        .collect()
}

async fn attempts(conn: &mut PgConnection, tasks: &[i64]) -> Result<HashMap<i64, Vec<AttemptInfo>>, Error> {
    let found = sqlx::query!(
        r#"-- runs_read::attempts
        select t.task_id as "task_id!", a.attempt_id as "attempt_id!", w.name as worker,
            a.started_at as "started_at!", a.ended_at, a.outcome, a.detail
        from unnest($1::bigint[]) as t(task_id)
        cross join lateral (
            select attempt_id, worker_id, started_at, ended_at, outcome, detail
            from attempts where task_id = t.task_id
            union all
            select attempt_id, worker_id, started_at, null, null, null from leases where task_id = t.task_id
            order by attempt_id desc limit $2
        ) a
        join workers w on w.worker_id = a.worker_id
        order by a.attempt_id"#,
        tasks,
        ATTEMPTS_SHOWN
    )
    .fetch_all(conn)
    .await?;
    let mut attempts: HashMap<i64, Vec<AttemptInfo>> = HashMap::new();
    for row in found {
        attempts.entry(row.task_id).or_default().push(AttemptInfo {
            attempt: AttemptId::from_db(row.attempt_id),
            worker: row.worker,
            started_at: row.started_at,
            ended_at: row.ended_at,
            outcome: row.outcome,
            detail: row.detail,
        });
    }
    Ok(attempts)
}

/// An attempt whose log is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoggedAttempt {
    /// The attempt.
    pub attempt: AttemptId,
    /// Whether it has ended, so that no line follows.
    pub ended: bool,
}

/// One attempt of a task of this org; the latest one unless `attempt` is given.
///
/// # Errors
/// When the database fails.
pub async fn logged_attempt(
    conn: &mut PgConnection,
    org: OrgId,
    task: TaskId,
    attempt: Option<AttemptId>,
) -> Result<Option<LoggedAttempt>, Error> {
    let found = sqlx::query!(
        r#"-- runs_read::logged_attempt
        select a.attempt_id as "attempt_id!", a.ended as "ended!"
        from tasks t
        join runs r on r.run_id = t.run_id
        cross join lateral (
            select attempt_id, true as ended from attempts where task_id = t.task_id
            union all
            select attempt_id, false from leases where task_id = t.task_id
        ) a
        where t.task_id = $1 and r.org_id = $2 and ($3::bigint is null or a.attempt_id = $3)
        order by a.attempt_id desc limit 1"#,
        task.get(),
        org.get(),
        attempt.map(AttemptId::get)
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(|row| LoggedAttempt { attempt: AttemptId::from_db(row.attempt_id), ended: row.ended }))
}

/// Lines of an attempt's log with a number above `after`.
///
/// # Errors
/// When the database fails, or a row can't be read.
pub async fn log_lines(
    conn: &mut PgConnection,
    attempt: AttemptId,
    after: i64,
    limit: i64,
) -> Result<Vec<NumberedLogLine>, Error> {
    let found = sqlx::query!(
        "-- runs_read::log_lines
        select seq, at, stream, text from log_lines
        where attempt_id = $1 and seq > $2 order by seq limit $3",
        attempt.get(),
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| {
            let at: DateTime<Utc> = row.at;
            Ok(NumberedLogLine {
                seq: u64::try_from(row.seq).map_err(|error| Error::corrupt("a line's number", error))?,
                at,
                stream: stream(&row.stream)?,
                text: row.text,
            })
        })
        .collect()
}

fn stream(text: &str) -> Result<LogStream, Error> {
    match text {
        "stdout" => Ok(LogStream::Stdout),
        "stderr" => Ok(LogStream::Stderr),
        "platform" => Ok(LogStream::Platform),
        other => Err(Error::corrupt("a log's stream", other)),
    }
}

fn run_state(text: &str) -> Result<RunState, Error> {
    [RunState::Running, RunState::Succeeded, RunState::Failed, RunState::Cancelled]
        .into_iter()
        .find(|state| state.as_str() == text)
        .ok_or_else(|| Error::corrupt("a run's state", text))
}

/// The one place that tells a task's state from its rows.
fn task_state(ended: Option<&str>, leased: bool, failures: Option<i32>) -> Result<TaskState, Error> {
    match (ended, leased, failures) {
        (Some(ended), false, None) => {
            [TaskState::Succeeded, TaskState::Dead, TaskState::Cancelled, TaskState::Skipped]
                .into_iter()
                .find(|state| state.as_str() == ended)
                .ok_or_else(|| Error::corrupt("a task's end", ended))
        }
        (None, true, None) => Ok(TaskState::Running),
        (None, false, Some(0)) => Ok(TaskState::Queued),
        (None, false, Some(_)) => Ok(TaskState::Failed),
        rows => Err(Error::corrupt("a task", format!("its rows contradict each other: {rows:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_has_one_state() {
        assert_eq!(task_state(Some("dead"), false, None).unwrap(), TaskState::Dead);
        assert_eq!(task_state(None, true, None).unwrap(), TaskState::Running);
        assert_eq!(task_state(None, false, Some(0)).unwrap(), TaskState::Queued);
        assert_eq!(task_state(None, false, Some(2)).unwrap(), TaskState::Failed);
        for (ended, leased, failures) in [
            (None, false, None),
            (Some("dead"), true, None),
            (None, true, Some(0)),
            (Some("gone"), false, None),
        ] {
            assert!(task_state(ended, leased, failures).is_err());
        }
    }

    #[test]
    fn what_was_never_created_waits_or_was_skipped() {
        let created = TaskCounts { succeeded: 3, dead: 1, ..TaskCounts::default() };
        assert_eq!(with_uncreated(created, 10, RunState::Running).waiting, 6);
        let ended = with_uncreated(created, 10, RunState::Failed);
        assert_eq!((ended.waiting, ended.skipped), (0, 6));
        assert_eq!(with_uncreated(created, 4, RunState::Succeeded), created);
    }
}
