//! Runs and attempts as people read them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use trace_contracts::{
    AttemptId, DagVersionId, OrgId, RunId, TaskId,
    wire::{
        user::{AttemptInfo, NumberedLogLine, RunInfo, RunState, TaskCounts},
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
        select r.run_id, d.name as dag, r.dag_version_id, r.state, r.tasks_total, r.tasks_succeeded,
            r.tasks_dead, r.created_at, r.finished_at
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
    let ids: Vec<RunId> = found.iter().map(|row| RunId::from_db(row.run_id)).collect();
    let placed = placed(conn, &ids).await?;
    found
        .into_iter()
        .map(|row| {
            let (run, state) = (RunId::from_db(row.run_id), run_state(&row.state)?);
            let placed = placed.get(&run).copied().unwrap_or_default();
            let ended = Ended {
                total: count(row.tasks_total.into())?,
                succeeded: count(row.tasks_succeeded.into())?,
                dead: count(row.tasks_dead.into())?,
            };
            Ok(RunInfo {
                run,
                dag: super::name(&row.dag)?,
                version: DagVersionId::from_db(row.dag_version_id),
                state,
                tasks: counts(placed, ended, state),
                created_at: row.created_at,
                finished_at: row.finished_at,
            })
        })
        .collect()
}

/// What a run's own row says of its tasks.
#[derive(Debug, Clone, Copy)]
struct Ended {
    total: u64,
    succeeded: u64,
    dead: u64,
}

/// Tasks that have no row wait while the run goes on, and are skipped once it has ended.
fn counts(placed: TaskCounts, ended: Ended, state: RunState) -> TaskCounts {
    let mut counts = TaskCounts { succeeded: ended.succeeded, dead: ended.dead, ..placed };
    let TaskCounts { queued, running, failed, succeeded, dead, cancelled, .. } = counts;
    let without = ended.total.saturating_sub(queued + running + failed + succeeded + dead + cancelled);
    if state == RunState::Running {
        counts.waiting = without;
    } else {
        counts.skipped = without;
    }
    counts
}

/// Tasks of runs by state, of those whose number the run's own row does not tell.
async fn placed(conn: &mut PgConnection, runs: &[RunId]) -> Result<HashMap<RunId, TaskCounts>, Error> {
    let (first, last): (Vec<i64>, Vec<i64>) = runs.iter().map(|run| TaskId::span(*run)).unzip();
    let found = sqlx::query!(
        r#"-- runs_read::placed
        select r.first >> 20 as "run_id!", q.queued as "queued!", q.failed + d.failed as "failed!",
            l.running as "running!", e.cancelled as "cancelled!"
        from unnest($1::bigint[], $2::bigint[]) as r(first, last)
        cross join lateral (
            select count(*) filter (where failures = 0) as queued, count(*) filter (where failures > 0) as failed
            from (
                select failures from ready where task_id between r.first and r.last
                union all select failures from held where task_id between r.first and r.last
            ) due
        ) q
        cross join lateral (
            select count(*) as failed from delayed where task_id between r.first and r.last
        ) d
        cross join lateral (
            select count(*) as running from leases where task_id between r.first and r.last
        ) l
        cross join lateral (
            select count(*) as cancelled from task_ends
            where task_id between r.first and r.last and state = 'cancelled'
        ) e"#,
        &first,
        &last
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| {
            let counts = TaskCounts {
                queued: count(row.queued)?,
                running: count(row.running)?,
                failed: count(row.failed)?,
                cancelled: count(row.cancelled)?,
                ..TaskCounts::default()
            };
            Ok((RunId::from_db(row.run_id), counts))
        })
        .collect()
}

fn count(number: i64) -> Result<u64, Error> {
    u64::try_from(number).map_err(|error| Error::corrupt("a count", error))
}

/// The newest attempts of these tasks, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn attempts(
    conn: &mut PgConnection,
    tasks: &[i64],
) -> Result<HashMap<TaskId, Vec<AttemptInfo>>, Error> {
    let found = sqlx::query!(
        r#"-- runs_read::attempts
        select t.task_id as "task_id!", a.attempt_id as "attempt_id!", w.name as worker,
            a.started_at as "started_at!", a.ended_at, a.outcome, a.detail
        from unnest($1::bigint[]) as t(task_id)
        cross join lateral (
            select attempt_id, worker_id, started_at, ended_at, outcome, detail
            from attempts where task_id = t.task_id
            union all
            select attempt_id, worker_id, started_at, committed_at, 'succeeded', null
            from commits where task_id = t.task_id
            union all
            select attempt_id, worker_id, started_at, null, null, null from leases where task_id = t.task_id
            order by started_at desc, attempt_id desc limit $2
        ) a
        join workers w on w.worker_id = a.worker_id
        order by a.started_at, a.attempt_id"#,
        tasks,
        ATTEMPTS_SHOWN
    )
    .fetch_all(conn)
    .await?;
    let mut attempts: HashMap<TaskId, Vec<AttemptInfo>> = HashMap::new();
    for row in found {
        attempts.entry(TaskId::from_db(row.task_id)).or_default().push(AttemptInfo {
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
        from runs r
        cross join lateral (
            select attempt_id, started_at, true as ended from attempts where task_id = $1
            union all
            select attempt_id, started_at, true from commits where task_id = $1
            union all
            select attempt_id, started_at, false from leases where task_id = $1
        ) a
        where r.run_id = $1::bigint >> 20 and r.org_id = $2 and ($3::bigint is null or a.attempt_id = $3)
        order by a.started_at desc, a.attempt_id desc limit 1"#,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_row_waits_or_was_skipped() {
        let (placed, ended) = (TaskCounts::default(), Ended { total: 10, succeeded: 3, dead: 1 });
        assert_eq!(counts(placed, ended, RunState::Running).waiting, 6);
        let failed = counts(placed, ended, RunState::Failed);
        assert_eq!((failed.waiting, failed.skipped), (0, 6));
        let running = TaskCounts { queued: 2, running: 4, ..placed };
        assert_eq!(counts(running, ended, RunState::Running).waiting, 0);
    }
}
