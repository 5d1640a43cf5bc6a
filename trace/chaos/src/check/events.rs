//! The platform's event log: what PostgreSQL decodes from the log of the whole run.

use std::{collections::BTreeMap, fs, path::Path};

use sqlx::PgConnection;
use trace_model::judge::Clock;

use super::{Findings, replay::replay, shown};
use crate::cluster::SLOT;

/// Decodes the log, keeps it in a file, looks for what happened more than once, and replays it against
/// the model. Answers how many transactions the model has judged.
///
/// # Errors
/// When the log can't be decoded or kept.
pub async fn events(
    connection: &mut PgConnection,
    keep: &Path,
    clock: Clock,
    findings: &mut Findings,
) -> anyhow::Result<u64> {
    // Times are written as this session likes them; the model reads them in one form.
    sqlx::query("select set_config('datestyle', 'iso', false), set_config('timezone', 'utc', false)")
        .execute(&mut *connection)
        .await?;
    let lines: Vec<String> = sqlx::query_scalar(
        "select data from pg_logical_slot_get_changes($1, null, null, 'include-timestamp', '1')",
    )
    .bind(SLOT)
    .fetch_all(connection)
    .await?;
    fs::write(keep, lines.join("\n"))?;
    let mut commits: BTreeMap<i64, u32> = BTreeMap::new();
    for task in lines.iter().filter_map(|line| committed(line)) {
        *commits.entry(task).or_default() += 1;
    }
    for (task, times) in commits {
        if times > 1 {
            findings.twice(task, format!("{} was committed {times} times", shown(task)));
        }
    }
    match replay(&lines, clock) {
        Ok(report) => Ok(report.transactions),
        Err(error) => {
            findings.wrong(format!("the model does not allow what happened: {error}"));
            Ok(0)
        }
    }
}

/// The task of a line such as `table public.commits: INSERT: task_id[bigint]:17 …`.
fn committed(line: &str) -> Option<i64> {
    let row = line.strip_prefix("table public.commits: INSERT: ")?;
    let value = row.split("task_id[bigint]:").nth(1)?;
    value.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_told_from_other_lines() {
        let line = "table public.commits: INSERT: task_id[bigint]:1048579 attempt_id[bigint]:7";
        assert_eq!(committed(line), Some(1_048_579));
        assert_eq!(committed("table public.leases: INSERT: task_id[bigint]:17"), None);
        assert_eq!(committed("BEGIN 740"), None);
    }
}
