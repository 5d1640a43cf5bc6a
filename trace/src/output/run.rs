//! A run as it goes: one line a job.

use trace_contracts::{
    Name, RunId, TaskId,
    wire::user::{RunInfo, TaskCounts, TaskInfo, TaskState},
};

use super::text::{count, printable, took};

/// Cells of a job's bar.
const BAR_CELLS: usize = 20;
/// Jobs that are drawn one by one; more than this scroll off a screen and could not be redrawn.
const MAX_JOBS: usize = 30;

/// The tasks of one job, counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobProgress {
    /// The job.
    pub job: Name,
    counts: TaskCounts,
}

/// Counts the tasks of each job, in the order in which the jobs came up.
#[must_use]
pub fn jobs(tasks: &[TaskInfo]) -> Vec<JobProgress> {
    let mut jobs: Vec<JobProgress> = Vec::new();
    for task in tasks {
        let position = jobs.iter().position(|progress| progress.job == task.job);
        let at = position.unwrap_or_else(|| {
            jobs.push(JobProgress { job: task.job.clone(), counts: TaskCounts::default() });
            jobs.len() - 1
        });
        *slot(&mut jobs[at].counts, task.state) += 1;
    }
    jobs
}

const fn slot(counts: &mut TaskCounts, state: TaskState) -> &mut u64 {
    match state {
        TaskState::Waiting => &mut counts.waiting,
        TaskState::Queued => &mut counts.queued,
        TaskState::Running => &mut counts.running,
        TaskState::Succeeded => &mut counts.succeeded,
        TaskState::Failed => &mut counts.failed,
        TaskState::Dead => &mut counts.dead,
        TaskState::Cancelled => &mut counts.cancelled,
        TaskState::Skipped => &mut counts.skipped,
    }
}

/// All tasks, those that have no id yet included.
#[must_use]
pub const fn total(counts: &TaskCounts) -> u64 {
    counts.waiting
        + counts.queued
        + counts.running
        + counts.failed
        + counts.succeeded
        + counts.dead
        + counts.cancelled
        + counts.skipped
}

/// The block that a terminal redraws: the run, and a bar a job.
#[must_use]
pub fn block(run: &RunInfo, jobs: &[JobProgress]) -> Vec<String> {
    let width = jobs.iter().map(|progress| progress.job.len()).max().unwrap_or(0);
    let mut lines = vec![headline(run)];
    lines.extend(jobs.iter().take(MAX_JOBS).map(|progress| progress.bar(width)));
    if jobs.len() > MAX_JOBS {
        lines.push(format!("  … and {} more jobs", jobs.len() - MAX_JOBS));
    }
    lines
}

/// The run in one line.
#[must_use]
pub fn headline(run: &RunInfo) -> String {
    format!(
        "{} of {}  {}  {}/{} succeeded{}  {}",
        run.run,
        run.dag,
        run.state.as_str(),
        run.tasks.succeeded,
        count(total(&run.tasks), "task"),
        exceptions(&run.tasks),
        took(run.created_at, run.finished_at),
    )
}

/// The counts that are not as one wishes, where there are any.
fn exceptions(counts: &TaskCounts) -> String {
    [
        (counts.failed, "to retry"),
        (counts.dead, "dead"),
        (counts.cancelled, "cancelled"),
        (counts.skipped, "skipped"),
    ]
    .iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, what)| format!(", {number} {what}"))
    .collect()
}

impl JobProgress {
    fn bar(&self, width: usize) -> String {
        let total = total(&self.counts);
        let share = |part: u64| usize::try_from(part * BAR_CELLS as u64 / total.max(1)).unwrap_or(0);
        let done = share(self.counts.succeeded);
        let active = share(self.counts.succeeded + self.counts.running) - done;
        let bar =
            format!("{}{}{}", "█".repeat(done), "▒".repeat(active), "░".repeat(BAR_CELLS - done - active));
        format!("  {:width$}  {bar} {}", &*self.job, self.figures())
    }

    fn figures(&self) -> String {
        let running = match self.counts.running {
            0 => String::new(),
            running => format!(", {running} running"),
        };
        format!("{}/{}{running}{}", self.counts.succeeded, total(&self.counts), exceptions(&self.counts))
    }

    /// The job in one line, for logs.
    #[must_use]
    pub fn plain(&self, run: RunId) -> String {
        format!("{run} {} {}", self.job, self.figures())
    }
}

/// A task that is dead or will be retried: which, and why, and where to look.
#[must_use]
pub fn trouble(task: &TaskInfo) -> String {
    let why = task.attempts.last().map(|attempt| {
        let outcome = attempt.outcome.as_deref().unwrap_or("running");
        let detail = attempt.detail.as_deref().map(first_line).unwrap_or_default();
        if detail.is_empty() { outcome.to_owned() } else { format!("{outcome}: {detail}") }
    });
    let why = why.unwrap_or_else(|| "it never ran".to_owned());
    format!(
        "{} {}/{} {}: {}  (trace logs {})",
        task.task,
        task.job,
        task.partition,
        task.state.as_str(),
        printable(&why),
        task.task
    )
}

fn first_line(text: &str) -> &str {
    text.trim().lines().next().unwrap_or_default()
}

/// The tasks in trouble; the key differs for each failure of one.
pub fn troubled(tasks: &[TaskInfo]) -> impl Iterator<Item = ((TaskId, usize, TaskState), &TaskInfo)> {
    tasks
        .iter()
        .filter(|task| matches!(task.state, TaskState::Failed | TaskState::Dead))
        .map(|task| ((task.task, task.attempts.len(), task.state), task))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::*;

    fn task(number: u32, job: &str, state: &str) -> TaskInfo {
        serde_json::from_value(json!({
            "task": format!("t1.{number}"), "run": "r1", "job": job, "partition": "2013-01", "state": state,
            "retry_at": null,
            "attempts": [{
                "attempt": "a7", "worker": "w", "started_at": "2026-01-01T00:00:00Z", "ended_at": null,
                "outcome": "memory", "detail": "reached 512 MiB\nsecond line",
            }],
        }))
        .unwrap()
    }

    #[test]
    fn a_run_is_drawn_with_a_bar_a_job() {
        let tasks = [
            task(1, "ingest", "succeeded"),
            task(2, "ingest", "succeeded"),
            task(3, "delays_py", "running"),
            task(4, "ingest", "queued"),
            task(5, "delays_py", "failed"),
            task(6, "delays_py", "dead"),
        ];
        let run: RunInfo = serde_json::from_value(json!({
            "run": "r1", "dag": "flights", "version": "gv1", "state": "running",
            "tasks": {"waiting": 3, "queued": 1, "running": 1, "failed": 1, "succeeded": 2, "dead": 1,
                      "cancelled": 0, "skipped": 0},
            "created_at": "2026-01-01T00:00:00Z", "finished_at": "2026-01-01T00:00:12Z",
        }))
        .unwrap();
        let jobs = jobs(&tasks);
        let plain: Vec<String> = jobs.iter().map(|job| job.plain(run.run)).collect();
        insta::assert_snapshot!(format!(
            "{}\n--\n{}\n--\n{}",
            block(&run, &jobs).join("\n"),
            plain.join("\n"),
            trouble(&tasks[5])
        ));
        assert_eq!(troubled(&tasks).count(), 2);
        assert_eq!(run.finished_at, DateTime::from_timestamp(1_767_225_612, 0));
    }
}
