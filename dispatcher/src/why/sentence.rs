//! Causes in the words of people. Pure.

use chrono::{DateTime, TimeDelta, Utc};
use trace_contracts::{
    RunId, TaskId,
    wire::{
        user::RunState,
        why::{Cause, Group, LastAttempt, LimitUse, Scope},
    },
};

/// The cause in a sentence or two. `task` is whose cause it is, `called` its job and partition.
#[must_use]
pub fn sentence(task: TaskId, called: &str, cause: &Cause, now: DateTime<Utc>) -> String {
    let who = format!("{task} ({called})");
    match cause {
        Cause::Input { input, job, missing, of, root } => {
            let missing = match (missing, of) {
                (_, 1) => format!("its input `{input}` from `{job}`"),
                (missing, of) => format!(
                    "its input `{input}`, of which {missing} of {of} partitions of `{job}` are missing"
                ),
            };
            format!("{who} waits for {missing}. The cause: {}", root.sentence)
        }
        Cause::LimitReached { limits, position, since } => {
            let reached: Vec<String> = limits.iter().map(limit).collect();
            format!(
                "{who} is held since {} because {}; it is number {position} in line.",
                moment(*since),
                reached.join(", and ")
            )
        }
        Cause::RateReached { tasks, per, next_at, position, since } => format!(
            "{who} is held since {} because {tasks} tasks of its job may start a {per}; the next one may in {}, and it is \
             number {position} in line.",
            moment(*since),
            span(*next_at - now)
        ),
        Cause::AdmissionDue { since } => {
            format!(
                "{who} was held since {}, there is room for it now, and it becomes ready within seconds.",
                moment(*since)
            )
        }
        Cause::Ready { since } => format!("{who} is ready since {} and about to be claimed.", moment(*since)),
        Cause::NoWorker { since, last_claim } => {
            let last = match last_claim {
                Some(at) => format!("no worker has asked for tasks since {}", moment(*at)),
                None => "no worker has ever asked for tasks".to_owned(),
            };
            format!("{who} is ready since {}, and {last}: start a worker.", moment(*since))
        }
        Cause::WorkersBusy { since, running } => format!(
            "{who} is ready since {}, and the workers are busy with {running} running tasks: it starts when one has a free slot.",
            moment(*since)
        ),
        Cause::WakeUpLate { since, last_claim } => format!(
            "{who} is ready since {}, workers ask for tasks (last seen {}) and were given none: a wake-up is late, and the next \
             sweep makes up for it within seconds.",
            moment(*since),
            moment(*last_claim)
        ),
        Cause::Running { attempt, worker, since, lease_until } => format!(
            "{who} runs since {} as {attempt} on worker `{worker}`, whose lease holds until {}.",
            moment(*since),
            moment(*lease_until)
        ),
        Cause::RetryAt { at, last } => {
            format!("{who} failed{} and is tried again in {}.", how(last.as_ref()), span(*at - now))
        }
        Cause::Dead { last } => format!(
            "{who} is dead: its retries are used up{}. See `trace logs {task}`; `trace retry {task}` tries it again.",
            how(last.as_ref())
        ),
        Cause::Cancelled { by, at } => {
            let by = by.map(|user| format!(" by {user}")).unwrap_or_default();
            let at = at.map(|at| format!(" at {}", moment(at))).unwrap_or_default();
            format!("{who} was cancelled with its run{by}{at}.")
        }
        Cause::Skipped { root: Some(root) } => {
            format!("{who} was skipped, because an input never came: {}", root.sentence)
        }
        Cause::Skipped { root: None } => format!("{who} never ran: its run ended before it was due."),
        Cause::Succeeded { attempt, at } => format!("{who} succeeded at {} as {attempt}.", moment(*at)),
    }
}

/// A run in a sentence: its state, and its worst cause.
#[must_use]
pub fn of_run(run: RunId, state: RunState, causes: &[Group]) -> String {
    let state = match state {
        RunState::Running => "is running",
        RunState::Succeeded => return format!("{run} succeeded: every task has."),
        RunState::Failed => "failed",
        RunState::Cancelled => "was cancelled",
    };
    let Some(worst) = causes.first() else { return format!("{run} {state}, and no task of it is open.") };
    let behind = match worst.behind {
        0 => String::new(),
        1 => " One task is behind it.".to_owned(),
        count => format!(" {count} tasks are behind it."),
    };
    let others = match worst.tasks {
        1 => String::new(),
        count => format!(" So it is with {count} tasks."),
    };
    format!("{run} {state}: {}{others}{behind}", worst.example.sentence)
}

fn limit(one: &LimitUse) -> String {
    let whose = match (one.scope, &one.name) {
        (Scope::Org, _) => "the org".to_owned(),
        (Scope::Dag, Some(name)) => format!("the DAG `{name}`"),
        (Scope::Job, Some(name)) => format!("the job `{name}`"),
        (Scope::Dag, None) => "its DAG".to_owned(),
        (Scope::Job, None) => "its job".to_owned(),
    };
    format!("{whose} may have {} tasks at once and has {}", one.max, one.in_use)
}

fn how(last: Option<&LastAttempt>) -> String {
    let Some(LastAttempt { attempt, reason, detail, .. }) = last else { return String::new() };
    let detail = detail.as_deref().and_then(|detail| detail.lines().next()).unwrap_or_default();
    let detail: String = detail.chars().filter(|c| !c.is_control()).take(200).collect();
    if detail.is_empty() {
        format!(" ({attempt}: {reason})")
    } else {
        format!(" ({attempt}: {reason}: {detail})")
    }
}

fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn span(span: TimeDelta) -> String {
    let seconds =
        span.num_milliseconds().max(0).div_euclid(1000) + i64::from(span.num_milliseconds() % 1000 > 0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}
