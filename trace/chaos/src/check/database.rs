//! The tables: every task ended as its own seed says, once, and the counters agree.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{PgConnection, Row as _, types::Json};
use trace_dispatcher::dag::spec::Spec;

use super::{Expected, Findings, ORDINAL_BITS, ordinal, shown};
use crate::dag::{End, RETRIES};

/// Everything about the runs that the tables hold.
struct Tables {
    commits: BTreeMap<i64, i64>,
    ends: BTreeMap<i64, String>,
    /// Failed tries that count, by task.
    failures: BTreeMap<i64, i64>,
    /// Attempts that a commit stands for and that ended otherwise as well.
    both_ways: Vec<i64>,
    versions: BTreeMap<i64, Version>,
    cut_overs: BTreeMap<i64, i64>,
}

struct Version {
    total: i32,
    done: i32,
    complete: Complete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Complete {
    Yes,
    No,
}

/// Checks all runs.
///
/// # Errors
/// When the database does not answer.
pub async fn database(
    connection: &mut PgConnection,
    runs: &[Expected<'_>],
    findings: &mut Findings,
) -> anyhow::Result<()> {
    nothing_runs(connection, findings).await?;
    let count: i64 = sqlx::query_scalar("select count(*) from runs").fetch_one(&mut *connection).await?;
    findings.must((count == i64::try_from(runs.len())?).into(), || {
        format!("{count} runs were started where {} were asked for", runs.len())
    });
    currents(connection, findings).await?;
    let tables = read(connection).await?;
    for attempt in &tables.both_ways {
        findings.twice(*attempt, format!("a{attempt} has a commit and ended otherwise as well"));
    }
    let mut known = BTreeSet::new();
    for expected in runs {
        run(connection, expected, &tables, &mut known, findings).await?;
    }
    for stray in tables.commits.keys().chain(tables.ends.keys()).filter(|task| !known.contains(*task)) {
        findings.wrong(format!("{} has ended and is in no run", shown(*stray)));
    }
    Ok(())
}

/// Checks that no attempt ended for another reason than its own code.
///
/// # Errors
/// When the database does not answer.
pub async fn no_attempt_lost(connection: &mut PgConnection, findings: &mut Findings) -> anyhow::Result<()> {
    let lost: Vec<(i64, i64, String)> = sqlx::query_as(
        "select attempt_id, task_id, concat(outcome, ': ', detail) from attempts where outcome <> 'exit'",
    )
    .fetch_all(connection)
    .await?;
    for (attempt, task, how) in lost {
        findings.wrong(format!("a{attempt} of {} was lost: {how}", shown(task)));
    }
    Ok(())
}

async fn nothing_runs(connection: &mut PgConnection, findings: &mut Findings) -> anyhow::Result<()> {
    for table in ["ready", "delayed", "leases"] {
        let sql = format!("select task_id from {table}");
        let left: Vec<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(&mut *connection).await?;
        for task in left {
            findings.lost(task, format!("{} is still in `{table}` after its run has ended", shown(task)));
        }
    }
    Ok(())
}

async fn read(connection: &mut PgConnection) -> anyhow::Result<Tables> {
    let pairs = async |connection: &mut PgConnection, sql: &'static str| {
        let rows: Vec<(i64, i64)> = sqlx::query_as(sql).fetch_all(connection).await?;
        Ok::<_, sqlx::Error>(rows.into_iter().collect::<BTreeMap<i64, i64>>())
    };
    let ends: Vec<(i64, String)> =
        sqlx::query_as("select task_id, state from task_ends").fetch_all(&mut *connection).await?;
    let versions: Vec<(i64, i32, i32, bool)> = sqlx::query_as(
        "select dataset_version_id, partitions_total, partitions_done, completed_at is not null
        from dataset_versions",
    )
    .fetch_all(&mut *connection)
    .await?;
    Ok(Tables {
        commits: pairs(connection, "select task_id, attempt_id from commits").await?,
        failures: pairs(
            connection,
            "select task_id, count(*) from attempts where outcome = 'exit' group by task_id",
        )
        .await?,
        cut_overs: pairs(
            connection,
            "select dataset_version_id, count(*) from cut_overs group by dataset_version_id",
        )
        .await?,
        both_ways: sqlx::query_scalar(
            "select attempt_id from commits join attempts using (attempt_id)
            where attempts.outcome <> 'succeeded'",
        )
        .fetch_all(&mut *connection)
        .await?,
        ends: ends.into_iter().collect(),
        versions: versions
            .into_iter()
            .map(|(id, total, done, complete)| {
                let complete = if complete { Complete::Yes } else { Complete::No };
                (id, Version { total, done, complete })
            })
            .collect(),
    })
}

async fn run(
    connection: &mut PgConnection,
    expected: &Expected<'_>,
    tables: &Tables,
    known: &mut BTreeSet<i64>,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let row = sqlx::query(
        "select state, tasks_total, tasks_open, tasks_succeeded, tasks_dead, spec
        from runs join dag_versions using (dag_version_id) where run_id = $1",
    )
    .bind(expected.run.get())
    .fetch_one(connection)
    .await?;
    let Json(spec): Json<Spec> = row.try_get("spec")?;
    let ends = expected.dag.ends();
    let (mut succeeded, mut dead) = (0, 0);
    let mut next = expected.run.get() << ORDINAL_BITS;
    for job in &spec.jobs {
        let first = next;
        let mut committed = 0;
        for partition in &job.partitions {
            let task = next;
            next += 1;
            known.insert(task);
            let end = ends.iter().find(|((name, key), _)| **name == *job.name && **key == **partition);
            let Some((_, end)) = end else {
                findings.wrong(format!("{} is no task of the DAG: {} {partition}", shown(task), job.name));
                continue;
            };
            one(task, *end, tables, findings);
            committed += i32::from(tables.commits.contains_key(&task));
            succeeded += i32::from(matches!(end, End::Succeeded { .. }));
            dead += i32::from(*end == End::Dead);
        }
        version(first, committed, job.partitions.len(), tables, findings);
    }
    let state: String = row.try_get("state")?;
    let due = if dead == 0 { "succeeded" } else { "failed" };
    findings.must((state == due).into(), || format!("{} is {state}, not {due}", expected.run));
    let counters: [i32; 4] = [
        row.try_get("tasks_total")?,
        row.try_get("tasks_open")?,
        row.try_get("tasks_succeeded")?,
        row.try_get("tasks_dead")?,
    ];
    let total = i32::try_from(ordinal(next))?;
    findings.must((counters == [total, 0, succeeded, dead]).into(), || {
        format!(
            "{} counts total, open, succeeded, dead as {counters:?}, not [{total}, 0, {succeeded}, {dead}]",
            expected.run
        )
    });
    Ok(())
}

/// One task against what its seed says.
fn one(task: i64, end: End, tables: &Tables, findings: &mut Findings) {
    let committed = tables.commits.contains_key(&task);
    let ended = tables.ends.get(&task).map(String::as_str);
    let as_due = match end {
        End::Succeeded { .. } => committed && ended.is_none(),
        End::Dead => !committed && ended == Some("dead"),
        End::Skipped => !committed && ended.is_none(),
    };
    if !as_due {
        let was = if committed { "committed" } else { "not committed" };
        findings.lost(task, format!("{} was to end as {end:?}; it is {was}, its end {ended:?}", shown(task)));
    }
    let due = match end {
        End::Succeeded { failures } => i64::from(failures),
        End::Dead => i64::from(RETRIES) + 1,
        End::Skipped => 0,
    };
    let failures = tables.failures.get(&task).copied().unwrap_or(0);
    findings.must((failures == due).into(), || {
        format!("{} failed {failures} times that count, not {due}", shown(task))
    });
}

/// A job's dataset version: complete exactly when all its partitions are committed, current once at most.
fn version(first: i64, committed: i32, partitions: usize, tables: &Tables, findings: &mut Findings) {
    let id = format!("dv{}", shown(first).trim_start_matches('t'));
    let Some(version) = tables.versions.get(&first) else {
        findings.wrong(format!("{id} is not there"));
        return;
    };
    let whole = usize::try_from(committed).is_ok_and(|committed| committed == partitions);
    let agrees = usize::try_from(version.total).is_ok_and(|total| total == partitions)
        && version.done == committed
        && (version.complete == Complete::Yes) == whole;
    findings.must(agrees.into(), || {
        format!(
            "{id} has {} of {} partitions and is complete: {:?}; {committed} of {partitions} are committed",
            version.done, version.total, version.complete
        )
    });
    match (tables.cut_overs.get(&first).copied().unwrap_or(0), whole) {
        (0, _) | (1, true) => {}
        (1, false) => findings.wrong(format!("{id} became current and is not complete")),
        (times, _) => findings.twice(first, format!("{id} became current {times} times")),
    }
}

/// A published dataset's current version is the newest one that is complete.
async fn currents(connection: &mut PgConnection, findings: &mut Findings) -> anyhow::Result<()> {
    let wrong: Vec<(String, Option<i64>, Option<i64>)> = sqlx::query_as(
        "select * from (
            select d.name, d.current_version, (
                select max(v.dataset_version_id) from dataset_versions v
                where v.dataset_id = d.dataset_id and v.completed_at is not null
            ) as newest
            from datasets d where d.name is not null
        ) published where current_version is distinct from newest",
    )
    .fetch_all(connection)
    .await?;
    for (name, current, newest) in wrong {
        findings
            .wrong(format!("`{name}` is at version {current:?}, and its newest complete one is {newest:?}"));
    }
    Ok(())
}
