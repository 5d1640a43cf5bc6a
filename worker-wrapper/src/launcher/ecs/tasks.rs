//! The tasks that run for this worker, described together: one call for a hundred, every few seconds, and none
//! while nothing runs.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_sdk_ecs::types::Task;
use tokio::{
    sync::{Notify, watch},
    time::interval,
};

use super::{
    api::{DESCRIBED, Ecs, TaskArn},
    stopped::Stopped,
};

/// A task that was just started may not be known everywhere in ECS yet.
const MISSES: u32 = 12;

/// What is known of a task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Standing {
    /// It is on its way, runs, or is being stopped.
    #[default]
    Going,
    /// It has stopped.
    Stopped(Stopped),
}

/// The tasks of this worker.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    watched: Mutex<HashMap<TaskArn, Watched>>,
    added: Notify,
}

#[derive(Debug, Default)]
struct Watched {
    standing: watch::Sender<Standing>,
    misses: u32,
}

/// One task, described until this is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    tasks: Arc<Tasks>,
    arn: TaskArn,
    standing: watch::Receiver<Standing>,
}

impl Tasks {
    /// Watches a task from now on.
    pub(super) fn watch(self: &Arc<Self>, arn: TaskArn) -> Watch {
        let watched = Watched::default();
        let standing = watched.standing.subscribe();
        self.watched().insert(arn.clone(), watched);
        self.added.notify_one();
        Watch { tasks: Arc::clone(self), arn, standing }
    }

    /// Describes what is watched, for ever.
    pub(super) async fn keep(&self, ecs: &Ecs, poll: Duration) {
        let mut ticks = interval(poll);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let arns: Vec<TaskArn> = self.watched().keys().cloned().collect();
            if arns.is_empty() {
                self.added.notified().await;
                continue;
            }
            for batch in arns.chunks(DESCRIBED) {
                match ecs.describe(batch).await {
                    Ok(described) => self.settle(batch, &described, ecs.container()),
                    Err(failure) => tracing::warn!(%failure, "tasks were not described; trying again"),
                }
            }
        }
    }

    fn settle(&self, asked: &[TaskArn], described: &[Task], container: &str) {
        let mut watched = self.watched();
        for arn in asked {
            let Some(one) = watched.get_mut(arn) else { continue };
            match described.iter().find(|task| task.task_arn() == Some(arn.0.as_str())) {
                Some(task) if task.last_status() == Some("STOPPED") => {
                    one.standing.send_replace(Standing::Stopped(Stopped::of(task, container)));
                }
                Some(_) => one.misses = 0,
                None => {
                    one.misses += 1;
                    if one.misses >= MISSES {
                        let reason = "ECS does not know the task any more".to_owned();
                        one.standing
                            .send_replace(Standing::Stopped(Stopped { reason, ..Stopped::default() }));
                    }
                }
            }
        }
    }

    fn watched(&self) -> MutexGuard<'_, HashMap<TaskArn, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Waits until the task has stopped.
    pub(super) async fn stopped(&self) -> Stopped {
        let mut standing = self.standing.clone();
        loop {
            if let Standing::Stopped(stopped) = &*standing.borrow_and_update() {
                return stopped.clone();
            }
            if standing.changed().await.is_err() {
                // Nobody describes it any more, because the worker ends.
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tasks.watched().remove(&self.arn);
    }
}
