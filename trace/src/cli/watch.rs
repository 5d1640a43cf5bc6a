//! Follows a run to its end.

use std::{collections::HashSet, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use trace_contracts::{
    TaskId,
    wire::user::{RunInfo, RunState, TaskInfo, TaskState},
};

use super::Error;
use crate::{
    client::{self, Client},
    output::{
        progress::Progress,
        run::{self, JobProgress},
    },
};

/// How often the platform is asked.
const EVERY: Duration = Duration::from_millis(400);
/// So many questions in a row may stay without an answer, as when a platform restarts.
const PATIENCE: u32 = 50;

/// Waits until the run has ended, and shows how it goes.
///
/// # Errors
/// When the platform refuses, stays away, or the user interrupts.
pub(super) async fn until_ended(
    client: &Client,
    run: RunInfo,
    progress: &Progress,
) -> Result<RunInfo, Error> {
    let id = run.run;
    tokio::select! {
        ended = follow(client, run, progress) => Ok(ended?),
        _ = tokio::signal::ctrl_c() => Err(Error::WaitInterrupted(id)),
    }
}

async fn follow(client: &Client, mut run: RunInfo, progress: &Progress) -> Result<RunInfo, client::Error> {
    let mut view = View { progress, told: Vec::new(), trouble: HashSet::new() };
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut unanswered = 0;
    loop {
        ticks.tick().await;
        match look(client, &run).await {
            Ok((now, tasks)) => {
                unanswered = 0;
                run = now;
                view.show(&run, &tasks);
            }
            Err(error) if error.is_transient() && unanswered < PATIENCE => unanswered += 1,
            Err(error) => return Err(error),
        }
        if run.state != RunState::Running {
            progress.clear();
            return Ok(run);
        }
    }
}

/// The run is looked at first, so that the tasks are never older than a state that ends the wait.
async fn look(client: &Client, run: &RunInfo) -> Result<(RunInfo, Vec<TaskInfo>), client::Error> {
    let now = client.run(run.run).await?;
    let tasks = client.tasks(run.run).await?;
    Ok((now, tasks))
}

/// What the user has been shown.
struct View<'a> {
    progress: &'a Progress,
    told: Vec<JobProgress>,
    trouble: HashSet<(TaskId, usize, TaskState)>,
}

impl View<'_> {
    fn show(&mut self, run: &RunInfo, tasks: &[TaskInfo]) {
        self.tell_trouble(tasks);
        let jobs = run::jobs(tasks);
        if self.progress.is_live() {
            self.progress.draw(&run::block(run, &jobs));
            return;
        }
        for job in jobs.iter().filter(|job| !self.told.contains(job)) {
            self.progress.tell(&job.plain(run.run));
        }
        self.told = jobs;
    }

    /// Each failure is told once, and stays on the screen.
    fn tell_trouble(&mut self, tasks: &[TaskInfo]) {
        for (key, task) in run::troubled(tasks) {
            if self.trouble.insert(key) {
                self.progress.tell(&run::trouble(task));
            }
        }
    }
}
