//! Carries a plan out: each fault begins after the k-th end of a task, lasts, and ends.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{
    sync::{Mutex, watch},
    task::JoinSet,
};

use crate::{
    plan::{Fault, Target, What},
    platform::Platform,
    wait::{pass, until_seen},
};

/// A process that was killed runs again within this time.
const BACK: Duration = Duration::from_secs(60);

/// Begins each fault when `progress` says so, and returns when all of them are over.
///
/// # Errors
/// When a fault can't be caused, or what was killed does not come back.
pub async fn conduct(
    platform: &Arc<Platform>,
    faults: &[Fault],
    mut progress: watch::Receiver<u64>,
) -> anyhow::Result<()> {
    // Faults of one process come one after the other.
    let mut locks: BTreeMap<Target, Arc<Mutex<()>>> = BTreeMap::new();
    let mut under_way = JoinSet::new();
    for fault in faults {
        progress.wait_for(|ended| *ended >= fault.after).await.context("nobody counts any more")?;
        let lock = target(fault.what).map(|target| Arc::clone(locks.entry(target).or_default()));
        let (platform, fault) = (Arc::clone(platform), *fault);
        under_way.spawn(async move {
            let _alone = match lock {
                Some(lock) => Some(lock.lock_owned().await),
                None => None,
            };
            tracing::info!(?fault, "begins");
            let outcome = cause(&platform, fault).await;
            platform.weather.count(name(fault.what));
            tracing::info!(?fault, "is over");
            outcome
        });
    }
    while let Some(ended) = under_way.join_next().await {
        ended??;
    }
    Ok(())
}

async fn cause(platform: &Platform, Fault { what, lasts, .. }: Fault) -> anyhow::Result<()> {
    match what {
        What::Kill(target) => {
            let process = platform.process(target);
            let before = process.pids().len();
            process.kill(lasts);
            let back = || process.pids().len() > before && process.pid().is_some();
            until_seen("what was killed comes back", BACK, back).await?;
        }
        What::Pause(target) => {
            platform.process(target).pause();
            pass(lasts).await;
            platform.process(target).resume();
        }
        What::Clock(target, seconds) => {
            platform.dials[&target].clock(seconds)?;
            pass(lasts).await;
            platform.dials[&target].clock(0)?;
        }
        What::Step(seconds) => platform.dials[&Target::Postgres].set_clock(seconds)?,
        What::DiskFull(target) => {
            platform.disks[&target].fill()?;
            pass(lasts).await;
            platform.disks[&target].free()?;
        }
        What::DiskSlow(target, micros) => {
            platform.dials[&target].slow_disk(Duration::from_micros(micros))?;
            pass(lasts).await;
            platform.dials[&target].slow_disk(Duration::ZERO)?;
        }
        What::Cut => platform.scissors.cut(),
    }
    Ok(())
}

const fn target(what: What) -> Option<Target> {
    match what {
        What::Kill(target)
        | What::Pause(target)
        | What::Clock(target, _)
        | What::DiskFull(target)
        | What::DiskSlow(target, _) => Some(target),
        What::Step(_) => Some(Target::Postgres),
        What::Cut => None,
    }
}

const fn name(what: What) -> &'static str {
    match what {
        What::Kill(Target::Dispatcher(_)) => "kill_dispatcher",
        What::Kill(Target::Worker(_)) => "kill_worker",
        What::Kill(_) => "kill_postgres",
        What::Pause(Target::Dispatcher(_)) => "pause_dispatcher",
        What::Pause(Target::Worker(_)) => "pause_worker",
        What::Pause(Target::Postgres) => "pause_postgres",
        What::Pause(Target::Store) => "pause_store",
        What::Clock(Target::Postgres, _) => "clock_of_postgres",
        What::Clock(..) => "clock_of_another",
        What::Step(_) => "clock_set_forward",
        What::DiskFull(_) => "disk_full",
        What::DiskSlow(..) => "disk_slow",
        What::Cut => "all_cut",
    }
}
